"""Models of transformers and sentence-transformers as trainable encoders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from adapt.encoders._model_folders import check_loaded, check_model_folder, check_sentence_folder, reading_folder
from adapt.encoders.encoder import Encoder, has_parameters
from losses.options import COUNT, check

INSTALL = 'pip install "adapt-losses[text]"  (or: pip install transformers sentence-transformers)'
POOLS = ("mean", "first", "last", "tokens")


def from_transformers(model: str | Path | nn.Module, *, pool: str = "mean") -> Encoder:
    """Return a model of transformers with ``last_hidden_state`` as an encoder: BERT, RoBERTa, GPT-2, wav2vec 2, AST,
    ViT, ...

    Args:
        model: the model without a head for a task (``AutoModel``), or the folder of such a model. Nothing is
            downloaded: load from the hub yourself, ``AutoModel.from_pretrained(name)``, and pass the model. Weights of
            a folder become float32, also of a folder saved in half precision: small steps of training would be lost in
            the rounding of half precision. A model that is passed keeps its precision.
        pool: ``"mean"`` over the places that the attention mask shows; ``"first"``, the ``[CLS]`` of BERT; ``"last"``
            of the places that the mask shows, for models that read from left to right (GPT); ``"tokens"``, all tokens,
            ``(n, t, d)``.

    Inputs: a dict of tensors as the tokenizer returns (:func:`tokens`), or one tensor: numbers of tokens, sound waves,
    spectrograms, images. Layers: the modules before the blocks, then each block. An unused pooler is removed.
    SpecAugment of speech models is switched off, because SpecAugment draws from the global state of numpy: augment in
    the stream instead.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: no such folder.
        ValueError: an unknown `pool`, or a model without blocks; a folder that is torn, lacks weights, holds weights
            that are not finite, or whose configuration asks for more than the weight files hold (4 times the files
            and 64 MiB).

    Wolf et al., Transformers, 2020, https://aclanthology.org/2020.emnlp-demos.6
    """
    if pool not in POOLS:
        raise ValueError(f"`pool` must be one of {POOLS}, got {pool!r}.")
    network: Any = model
    if not isinstance(model, nn.Module):
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise ImportError(f"transformers is not installed: {INSTALL}") from error
        if not Path(model).is_dir():
            raise FileNotFoundError(f"expected a folder with a model of transformers at `{model}`, and there is none.")
        with reading_folder(model, "a model of transformers"):
            check_model_folder(Path(model))
            network, found = AutoModel.from_pretrained(
                str(model), local_files_only=True, trust_remote_code=False, dtype=torch.float32,
                output_loading_info=True,
            )  # fmt: skip
            check_loaded(network, found["missing_keys"])
    _remove_pooler(network)
    if "apply_spec_augment" in network.config.to_dict():
        network.config.apply_spec_augment = False
    layers = [f"model.{name}" for name in _layer_names(network)]
    source = None if network is model else str(model)
    kept = {"kind": type(network).__name__, "config": network.config.to_json_string(use_diff=False), "pool": pool}
    known = type(network).__module__.startswith("transformers.")
    return Encoder(
        _Pooled(network, pool), network.config.hidden_size, layers=layers, source=source,
        recipe=("adapt.encoders._from_transformers.from_config", kept) if known else None,
    )  # fmt: skip


def from_config(kind: str, config: str, pool: str) -> Encoder:
    """Return a model of transformers with random weights, as :func:`from_transformers` does.

    Args:
        kind: the class of the model, such as ``"BertModel"``.
        config: its configuration, as json.
        pool: as in :func:`from_transformers`.

    Raises:
        ImportError: transformers is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"transformers is not installed: {INSTALL}") from error
    settings = json.loads(config)
    made = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    return from_transformers(getattr(transformers, kind)(made), pool=pool)  # the package makes its names on demand


def from_sentence_transformers(model: str | Path | nn.Module) -> Encoder:
    """Return a sentence-transformers model as an encoder that can learn. For frozen features :func:`sentences` is
    simpler.

    Args:
        model: a ``SentenceTransformer``, or the folder of a ``SentenceTransformer``. Nothing is downloaded, no code of
            the folder runs, and the weights of a folder become float32.

    Inputs: a dict of tensors with ``input_ids`` and ``attention_mask`` (:func:`tokens` with the ``tokenizer`` of the
        model).

    Raises:
        ImportError: sentence-transformers is not installed.
        FileNotFoundError: no such folder.
        ValueError: a folder that is torn, asks for other code, or asks for more than the weight files hold.

    Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084
    """
    network: Any = model
    if not isinstance(model, nn.Module):
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ImportError(f"sentence-transformers is not installed: {INSTALL}") from error
        if not Path(model).is_dir():
            raise FileNotFoundError(
                f"expected a sentence-transformers model in the folder `{model}`, and there is none."
            )
        with reading_folder(model, "a sentence-transformers model"):
            check_sentence_folder(Path(model))
            options = {"dtype": torch.float32, "trust_remote_code": False}
            network = SentenceTransformer(str(model), device="cpu", local_files_only=True, model_kwargs=options).float()
            check_loaded(network, ())
    from transformers import PreTrainedModel  # a dependency of sentence-transformers

    layers = None
    inside = [(name, part) for name, part in network.named_modules() if isinstance(part, PreTrainedModel)]
    for where, inner in inside[:1]:
        _remove_pooler(inner)
        layers = [f"model.{where}.{name}" for name in _layer_names(inner)]
    source = None if network is model else str(model)
    return Encoder(_Sentences(network), int(network.get_embedding_dimension()), layers=layers, source=source)


class Tokens(Dataset):
    """Rows of a dict of tensors, with or without labels: a dataset for a stream.

    Args:
        inputs: tensors ``(n, ...)`` by name.
        labels: ``(n, ...)``, where there are labels.

    Raises:
        ValueError: tensors with different numbers of rows.
    """

    def __init__(self, inputs: Mapping[str, Tensor], labels: Tensor | None = None):
        sizes = {len(part) for part in [*inputs.values(), *([] if labels is None else [labels])]}
        if len(sizes) != 1:
            raise ValueError(f"`inputs` and `labels` must have the same rows, got {sorted(sizes)}.")
        self.inputs, self.labels, self.rows = dict(inputs), labels, sizes.pop()

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        row = {name: part[index] for name, part in self.inputs.items()}
        return row if self.labels is None else (row, self.labels[index])


def tokens(texts: Sequence[str], tokenizer: Any, length: int, labels: Tensor | None = None) -> Tokens:
    """Return texts as rows of one length for :func:`from_transformers`: cut off or padded, with an attention mask.

    Args:
        texts: n texts.
        tokenizer: of the model, ``AutoTokenizer.from_pretrained(folder)``.
        length: tokens per text.
        labels: ``(n,)``, where there are labels.
    """
    check(COUNT, length=length)
    inputs = tokenizer(list(texts), truncation=True, padding="max_length", max_length=length, return_tensors="pt")
    return Tokens(dict(inputs), labels)


class _Pooled(nn.Module):
    model: Any  # a model of transformers

    def __init__(self, model: nn.Module, pool: str):
        super().__init__()
        self.model, self.pool = model, pool

    def extra_repr(self) -> str:
        return f"pool={self.pool!r}"

    def forward(self, inputs: Any) -> Tensor:
        mask = None
        if isinstance(inputs, Mapping):
            mask = inputs.get("attention_mask")
            states = self.model(**inputs).last_hidden_state
        else:
            states = self.model(inputs).last_hidden_state
        if self.pool == "tokens":
            return states
        if self.pool == "first":
            return states[:, 0]
        if mask is None:
            return states.mean(1) if self.pool == "mean" else states[:, -1]
        if mask.shape[1] != states.shape[1]:  # speech: the model shortens the sound
            mask = self.model._get_feature_vector_attention_mask(states.shape[1], mask)
        mask = mask != 0
        if self.pool == "mean":  # half precision cannot count beyond 256: the sums are float32
            total = (states * mask[..., None]).sum(1, dtype=torch.promote_types(states.dtype, torch.float32))
            return (total / mask.sum(1, keepdim=True).clamp_min(1)).to(states.dtype)
        places = torch.arange(states.shape[1], device=states.device)
        last = (mask * places).argmax(1)  # with padding on any side
        return states[torch.arange(len(states), device=states.device), last]


class _Sentences(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.model(dict(inputs))["sentence_embedding"]


def _remove_pooler(model: Any) -> None:
    """Remove the pooler, whose parameters would never have a gradient."""
    if "pooler" in dict(model.named_children()):
        model.pooler = None


def _layer_names(model: Any) -> list[str]:
    """Return the names of the modules with parameters before the list of blocks, then the names of the blocks."""
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    # a config maps this name to the model's own (GPT-2: `n_layer`), and some models have no blocks
    count = getattr(model.config, "num_hidden_layers", None)
    sizes = {n: sum(p.numel() for p in m.parameters()) for n, m in lists.items() if len(m) == count}
    blocks = max(sizes, key=lambda n: sizes[n], default=None)
    if blocks is None:
        raise ValueError(
            f"a {type(model).__name__} has no list of {count} blocks: wrap it with `encoders.wrap` and name its layers."
        )
    before = []
    for name, child in model.named_children():
        if blocks == name or blocks.startswith(f"{name}."):
            break
        if has_parameters(child):
            before.append(name)
    return before + [f"{blocks}.{number}" for number in range(len(lists[blocks]))]
