"""Models of transformers and sentence-transformers as trainable encoders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders._model_folders import check_loaded, check_model_folder, check_sentence_folder, reading_folder
from adapt.encoders.encoder import Encoder, called_names, has_parameters
from losses.options import COUNT, check, or_none

INSTALL = 'pip install "adapt-losses[text]"  (or: pip install transformers sentence-transformers)'
POOLS = ("mean", "first", "last", "tokens")


def from_transformers(model: str | Path | nn.Module, *, pool: str = "mean", dim: int | None = None) -> Encoder:
    """Return a model of transformers with ``last_hidden_state`` as an encoder: BERT, ALBERT, GPT-2, wav2vec 2, Whisper,
    ViT, ConvNext, ResNet, ...

    Args:
        model: the model without a head for a task (``AutoModel``), or the folder of such a model. Nothing is
            downloaded: load from the hub yourself, ``AutoModel.from_pretrained(name)``, and pass the model. Weights of
            a folder become float32, also of a folder saved in half precision: small steps of training would be lost in
            the rounding of half precision. A model that is passed keeps its precision. Of an encoder and decoder
            (T5, BART, Whisper) the encoder is taken.
        pool: ``"mean"`` over the places that the attention mask shows, or over the places of a map; ``"first"``, the
            ``[CLS]`` of BERT; ``"last"`` of the places that the mask shows, for models that read from left to right
            (GPT); ``"tokens"``, all tokens or places, ``(n, t, d)``.
        dim: the feature size. None takes the size of the configuration: ``hidden_size``, or the last ``hidden_sizes``.

    Inputs: a dict of tensors as the tokenizer returns (:func:`tokens`), or one tensor: numbers of tokens, sound waves,
    spectrograms, images. Layers: the modules before the blocks, then each block or stage; where a model has no list of
    blocks, its children. An unused pooler is removed. SpecAugment of speech models is switched off, because SpecAugment
    draws from the global state of numpy: augment in the stream instead.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: no such folder.
        ValueError: an unknown `pool`; a model of several inputs, such as CLIP, or a configuration without a feature
            size; a folder that is torn, lacks weights, holds weights that are not finite, or whose configuration asks
            for more than the weight files hold (4 times the files and 64 MiB); in a pass, features of another size, a
            map that has no first place, or a mask of another length than the states.

    Wolf et al., Transformers, 2020, https://aclanthology.org/2020.emnlp-demos.6
    """
    if pool not in POOLS:
        raise ValueError(f"`pool` must be one of {POOLS}, got {pool!r}.")
    check(or_none(COUNT), dim=dim)
    network: Any = model
    if not isinstance(model, nn.Module):
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise ImportError(f"transformers is not installed: {INSTALL}") from error
        if not Path(model).is_dir():
            raise FileNotFoundError(
                f"expected a folder with a model of transformers at `{model}`, and there is none. A name of the hub is "
                f"loaded by transformers: `encoders.from_transformers(AutoModel.from_pretrained({str(model)!r}))`."
            )
        with reading_folder(model, "a model of transformers"):
            check_model_folder(Path(model))
            network, found = AutoModel.from_pretrained(
                str(model), local_files_only=True, trust_remote_code=False, dtype=torch.float32,
                output_loading_info=True,
            )  # fmt: skip
            check_loaded(network, found["missing_keys"])
            network.train()  # transformers gives evaluation mode, which a trainer would have to mention
    kept = {"kind": type(network).__name__, "config": network.config.to_json_string(use_diff=False), "pool": pool}
    known, source = type(network).__module__.startswith("transformers."), None if network is model else str(model)
    size = _feature_size(network) if dim is None else dim
    if network.config.to_dict().get("is_encoder_decoder"):
        network = network.get_encoder()
    _remove_pooler(network)
    if "apply_spec_augment" in network.config.to_dict():
        network.config.apply_spec_augment = False
    layers = [f"model.{name}" for name in _layer_names(network)]
    return Encoder(
        _Pooled(network, pool, size), size, layers=layers, source=source,
        recipe=("adapt.encoders._from_transformers.from_config", {**kept, "dim": dim}) if known else None,
    )  # fmt: skip


def from_config(kind: str, config: str, pool: str, dim: int | None = None) -> Encoder:
    """Return a model of transformers with random weights, as :func:`from_transformers` does.

    Args:
        kind: the class of the model, such as ``"BertModel"``.
        config: its configuration, as json.
        pool, dim: as in :func:`from_transformers`.

    Raises:
        ImportError: transformers is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"transformers is not installed: {INSTALL}") from error
    settings = json.loads(config)
    made = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    return from_transformers(
        getattr(transformers, kind)(made), pool=pool, dim=dim
    )  # the package makes its names on demand


def from_sentence_transformers(model: str | Path | nn.Module) -> Encoder:
    """Return a sentence-transformers model as an encoder that can learn. For frozen features :func:`sentences` is
    simpler.

    Args:
        model: a ``SentenceTransformer``, or the folder of a ``SentenceTransformer``. Nothing is downloaded, no code of
            the folder runs, and the weights of a folder become float32.

    Inputs: a dict of tensors with ``input_ids`` and ``attention_mask`` (:func:`tokens` with the ``tokenizer`` of the
        model); or raw items, whose preparation the model knows: a list of texts, and for models of images, sounds or
        videos a list or a batch of these. A dual encoder such as CLIP reads texts and images in one class: the encoder
        is then also the `text` of :func:`adapt.zeroshot.fit`. Raw items are prepared in each pass, on the CPU.

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


class _Pooled(nn.Module):
    model: Any  # a model of transformers

    def __init__(self, model: nn.Module, pool: str, dim: int):
        super().__init__()
        self.model, self.pool, self.dim = model, pool, dim

    def extra_repr(self) -> str:
        return f"pool={self.pool!r}"

    def forward(self, inputs: Any) -> Tensor:
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        states = self._states(inputs)
        if self.pool == "tokens":
            return states
        if self.pool == "first":
            return states[:, 0]
        if mask is None or mask.ndim != 2:
            return states.mean(1) if self.pool == "mean" else states[:, -1]
        if mask.shape[1] != states.shape[1]:  # speech: the model shortens the sound
            mask = self._shortened(mask, states.shape[1])
        mask = mask != 0
        if self.pool == "mean":  # half precision cannot count beyond 256: the sums are float32
            total = (states * mask[..., None]).sum(1, dtype=torch.promote_types(states.dtype, torch.float32))
            return (total / mask.sum(1, keepdim=True).clamp_min(1)).to(states.dtype)
        places = torch.arange(states.shape[1], device=states.device)
        last = (mask * places).argmax(1)  # with padding on any side
        return states[torch.arange(len(states), device=states.device), last]

    def _states(self, inputs: Any) -> Tensor:
        """Return ``(n, places, dim)``: tokens, or the places of a map, with channels first or last."""
        output = self.model(**inputs) if isinstance(inputs, Mapping) else self.model(inputs)
        if "last_hidden_state" not in output:
            raise ValueError(
                f"a {type(self.model).__name__} must return `last_hidden_state`, got {', '.join(output)}: pass the "
                "part with it, or wrap a module that returns (n, dim) features, `encoders.wrap(module, dim)`."
            )
        states = output["last_hidden_state"]
        if states.ndim == 4 and self.pool in ("first", "last"):
            raise ValueError(f'`pool` of a map {tuple(states.shape)} must be "mean" or "tokens", got {self.pool!r}.')
        if states.ndim == 4 and states.shape[1] == self.dim:
            states = states.flatten(2).transpose(1, 2)
        elif states.ndim == 4:
            states = states.flatten(1, 2)
        elif states.ndim == 2:
            states = states[:, None]
        if states.shape[-1] != self.dim:
            shape = tuple(output["last_hidden_state"].shape)
            size = shape[1] if len(shape) == 4 else shape[-1]
            raise ValueError(
                f"the encoder must give {self.dim} features, got states {shape}: "
                f"`encoders.from_transformers(model, dim={size})`."
            )
        return states

    def _shortened(self, mask: Tensor, length: int) -> Tensor:
        name = "_get_feature_vector_attention_mask"  # of the speech models alone
        if not hasattr(self.model, name):
            raise ValueError(
                f"`attention_mask` must have a place for each of {length} states, got {tuple(mask.shape)}, and a "
                f"{type(self.model).__name__} does not say how it shortens its inputs: leave the mask out, or take "
                '`pool="tokens"`.'
            )
        return getattr(self.model, name)(length, mask)


class _Sentences(nn.Module):
    model: Any  # a SentenceTransformer

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> Tensor:
        if not isinstance(inputs, Mapping):  # raw items
            device = next(self.model.parameters()).device
            found = self.model.preprocess(list(inputs))
            inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in found.items()}
        return self.model(dict(inputs))["sentence_embedding"]


class _NoPooler(nn.Module):
    """Stands in for a pooler: a model may call its pooler, or ask whether there is one."""

    def forward(self, states: Any, *args: Any, **kwargs: Any) -> Any:
        return states


def _remove_pooler(model: Any) -> None:
    """Remove poolers behind the last hidden state, whose parameters would never have a gradient."""
    for name, child in model.named_children():
        if name in ("pooler", "head") and has_parameters(child):  # SigLIP pools by its head
            setattr(model, name, _NoPooler())


def _feature_size(model: Any) -> int:
    """Return the size of the last hidden states.

    Raises:
        ValueError: a configuration without a size.
    """
    settings = model.config
    # a config maps these names to the model's own (GPT-2: `n_embd`), and some have neither
    sizes, size = getattr(settings, "hidden_sizes", None), getattr(settings, "hidden_size", None)
    if isinstance(sizes, list | tuple) and sizes:
        return sizes[-1]
    if isinstance(size, int):
        return size
    from transformers import PreTrainedModel

    parts = [f"`model.{name}`" for name, child in model.named_children() if isinstance(child, PreTrainedModel)]
    remedy = f"pass one part, {' or '.join(parts)}" if parts else "give `dim=`, the size of `last_hidden_state`"
    raise ValueError(f"the configuration of a {type(model).__name__} has no `hidden_size`: {remedy}.")


def _layer_names(model: Any) -> list[str]:
    """Return the names of the modules with parameters before the list of blocks, then the names of the blocks.

    The blocks are the list of modules with the most parameters: with as many entries as the configuration says, if
    there is such a list. A model without a list of two or more has its children as layers.
    """
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList | nn.Sequential) and len(m) > 0}
    # a config maps this name to the model's own (GPT-2: `n_layer`), and some models have no blocks
    count = getattr(model.config, "num_hidden_layers", None)
    sizes = {n: sum(p.numel() for p in m.parameters()) for n, m in lists.items()}
    counted = {n: size for n, size in sizes.items() if len(lists[n]) == count and isinstance(lists[n], nn.ModuleList)}
    several = {n: size for n, size in sizes.items() if len(lists[n]) > 1}
    blocks = max(counted or several, key=lambda n: sizes[n], default=None)
    if blocks is None:
        return [inner for name, child in model.named_children() for inner in called_names(name, child)]
    before: list[str] = []
    for name, child in model.named_children():
        if blocks == name or blocks.startswith(f"{name}."):
            break
        before += called_names(name, child)
    parts = [called_names(f"{blocks}.{number}", block) for number, block in enumerate(lists[blocks])]
    return before + [name for part in parts for name in part]
