"""All layers of a model of transformers as features of tokens, mixed by learned weights."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt import store
from adapt.encoders._from_transformers import from_config
from adapt.encoders._tokens import Tokens
from adapt.encoders.encoder import Encoder, expect_encoder
from adapt.evaluating import evaluating
from losses.options import COUNT, check

FORMAT, STATES = "adapt-losses states 1", "states.bin"
FROM_CONFIG = "adapt.encoders._from_transformers.from_config"


def mix_layers(encoder: Encoder) -> Encoder:
    r"""Return an encoder with a learned mean of the states of all layers as features of tokens.

    .. math:: z_t = \gamma \sum_{l=0}^{L} \mathrm{softmax}(w)_l \, h_{lt}, \qquad w = 0, \gamma = 1 \text{ at first}

    with the states :math:`h_{lt}` of token t: behind the embedding, l = 0, and behind each of L layers. The last layer
    of a model for similar sentences knows little of single words; the task chooses the layers.

    Args:
        encoder: of :func:`from_transformers` or :func:`from_sentence_transformers`, whose model is then shared. `pool`
            plays no role.

    Inputs: a dict of tensors as for `encoder`. Features are ``(n, t, dim)``, exactly 0 at padding. Layers: the layers
    of `encoder`, then ``mix``. For frozen layers see :func:`keep_states` and :func:`kept_mix`.

    Raises:
        TypeError, ValueError: no encoder, or an encoder of another kind.

    Peters et al., Deep Contextualized Word Representations, 2018, https://arxiv.org/abs/1802.05365
    """
    model = _model_of(expect_encoder(encoder))
    layers = int(model.config.num_hidden_layers) + 1
    named = {id(part): name for name, part in model.named_modules()}
    inside = [f"model.{named[id(part)]}" for part in encoder.layers.values() if id(part) in named]
    body = LayerMix(model, layers, encoder.dim)
    recipe = None
    if encoder.recipe is not None and encoder.recipe[0] == FROM_CONFIG:
        recipe = "adapt.encoders._mix_layers.mix_from_config", encoder.recipe[1]
    names = [*inside, "mix"]
    return Encoder(body, encoder.dim, layers=names, source=encoder.source, licence=encoder.licence, recipe=recipe)


def mix_from_config(**options: Any) -> Encoder:
    """Return :func:`mix_layers` of a model of transformers with random weights; options as in ``from_config``."""
    return mix_layers(from_config(**options))


class LayerMix(nn.Module):
    """The states of a model and their mean, see :func:`mix_layers`."""

    model: Any

    def __init__(self, model: nn.Module, layers: int, dim: int):
        super().__init__()
        self.model, self.mix, self.dim = model, Mix(layers), dim

    def states(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return ``(n, t, layers, dim)``, the states of all layers."""
        return torch.stack(self.model(**inputs, output_hidden_states=True).hidden_states, 2)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.mix(self.states(inputs), inputs.get("attention_mask"))


class KeptMix(nn.Module):
    """The mean of kept states, see :func:`kept_mix`."""

    def __init__(self, mix: nn.Module):
        super().__init__()
        self.mix = mix

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        if "states" not in inputs:
            raise ValueError(
                f"`inputs` must have `states`, got {list(inputs)}: give rows of `encoders.keep_states`, batched by "
                '`collate.pad(keys=["states"])`.'
            )
        return self.mix(inputs["states"], inputs.get("mask"))


class Mix(nn.Module):
    """The learned mean of the states of layers."""

    def __init__(self, layers: int):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.zeros(layers)), nn.Parameter(torch.ones(()))

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        shares = self.scale * self.weight.softmax(0)
        low = states.dtype == torch.float16  # kept states; a CPU adds in float32
        mixed = ((states.to(shares.dtype) if low else states) * shares[:, None]).sum(2)
        return mixed if mask is None else mixed.masked_fill(mask[..., None] == 0, 0)


def kept_mix(encoder: Encoder) -> Encoder:
    """Return an encoder of the kept states of :func:`keep_states`: the learned mean alone, without the model.

    The mean is shared with `encoder`. After learning on kept states, `encoder` goes on with the learned mean, and its
    model may learn too: first frozen, then joint.

    Args:
        encoder: of :func:`mix_layers`.

    Inputs: a dict of ``states`` ``(n, t, layers, dim)``, and ``mask`` ``(n, t)`` where rows are padded, as
    ``collate.pad(keys=["states"])`` makes.

    Raises:
        TypeError: an encoder of another kind.
    """
    mix = _mixed(encoder).mix
    recipe = "adapt.encoders._mix_layers.kept_mix_of", {"layers": len(mix.weight), "dim": encoder.dim}
    return Encoder(KeptMix(mix), encoder.dim, layers=["mix"], source=encoder.source, recipe=recipe)


def kept_mix_of(layers: int, dim: int) -> Encoder:
    """Return the encoder of :func:`kept_mix` with a new mean of so many layers."""
    recipe = "adapt.encoders._mix_layers.kept_mix_of", {"layers": layers, "dim": dim}
    return Encoder(KeptMix(Mix(layers)), dim, layers=["mix"], recipe=recipe)


def keep_states(
    encoder: Encoder, rows: Tokens, folder: str | Path, *, batch_size: int = 64, precision: str = "float32"
) -> Tokens:
    """Compute the states of all layers once for each row, and return rows of kept states for :func:`kept_mix`.

    An epoch on kept states costs no pass of the model. The states are float16 in a file, read as they are needed::

        kept = encoders.keep_states(encoder, rows, folder)
        stream = Stream(kept, 64, collate=collate.pad(keys=["states"]), lengths=kept.lengths)
        Trainer(encoders.kept_mix(encoder), ..., {"texts": stream})

    Args:
        encoder: of :func:`mix_layers`, with the weights that stay frozen.
        rows: texts, ``encoders.tokens(texts, tokenizer, length, padded=False)``. The labels stay with the rows.
        folder: where states are kept, one subfolder for the weights of the model and the rows; L + 1 layers of d
            features take ``2 (L + 1) d`` bytes a token. A torn subfolder is made again.
        batch_size: rows for each pass, of similar length. 64.
        precision: of the pass, ``"float32"`` or ``"bf16"``.

    Raises:
        TypeError, ValueError: another encoder; padded rows; a wrong option.
        OSError: the written states cannot be read back.
    """
    check(COUNT, batch_size=batch_size)
    if precision not in ("float32", "bf16"):
        raise ValueError(f"`precision` must be 'float32' or 'bf16', got {precision!r}.")
    body = _mixed(encoder)
    masks = rows.inputs.get("attention_mask", [])
    if any((row == 0).any() for row in masks):
        raise ValueError("`rows` must not be padded: make them with `encoders.tokens(..., padded=False)`.")
    digest = hashlib.blake2b(repr((FORMAT, precision, rows.lengths.tolist())).encode(), digest_size=16)
    for name, part in sorted(body.model.state_dict().items()):
        digest.update(name.encode() + part.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    for name, column in sorted(rows.inputs.items()):
        digest.update(name.encode() + torch.cat(list(column)).numpy().tobytes())
    path = Path(folder) / f"states-{digest.hexdigest()}"
    total, shape = int(rows.lengths.sum()), (len(body.mix.weight), body.dim)
    states = _opened(path, (total, *shape))
    if states is None:
        shutil.rmtree(path, ignore_errors=True)
        with store.whole_folder(path, several_writers=True) as temporary:
            _write(temporary / STATES, body, rows, (total, *shape), batch_size, precision == "bf16")
            store.seal(temporary, FORMAT, {"shape": [total, *shape]})
        states = _opened(path, (total, *shape))
    if states is None:
        raise OSError(f"`{path}` could not be read back after it was written: is the disk full?")
    return Tokens({"states": states.split(rows.lengths.tolist())}, rows.labels)


@torch.no_grad()
def _write(file: Path, body: LayerMix, rows: Tokens, shape: tuple[int, ...], batch_size: int, low: bool) -> None:
    kept = numpy.memmap(file, numpy.float16, "w+", shape=shape)
    lengths, ends = rows.lengths, rows.lengths.cumsum(0)
    device = body.mix.weight.device
    with evaluating(body), torch.autocast(device.type, torch.bfloat16, enabled=low):
        for batch in lengths.argsort(stable=True).split(int(batch_size)):
            columns = {k: [v[i] for i in batch.tolist()] for k, v in rows.inputs.items()}
            inputs = {k: nn.utils.rnn.pad_sequence(v, batch_first=True).to(device) for k, v in columns.items()}
            found = body.states(inputs).half().cpu().numpy()
            for row, states in zip(batch.tolist(), found, strict=True):
                kept[ends[row] - lengths[row] : ends[row]] = states[: lengths[row]]
    kept.flush()


def _opened(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """Return the kept states, or None where the folder is absent or not as it was written."""
    try:
        if store.check(path, FORMAT, (STATES,))["shape"] != list(shape):
            return None
    except (OSError, ValueError, KeyError):
        return None
    size = int(numpy.prod(shape))
    if (path / STATES).stat().st_size != 2 * size:
        return None
    return torch.from_file(str(path / STATES), shared=False, size=size, dtype=torch.float16).view(shape)


def _mixed(encoder: Encoder) -> LayerMix:
    body = expect_encoder(encoder).body
    if not isinstance(body, LayerMix):
        raise TypeError(f"`encoder` must be of `encoders.mix_layers`, got a body of {type(body).__name__}.")
    return body


def _model_of(encoder: Encoder) -> Any:
    """Return the model of transformers inside of an encoder.

    Raises:
        ValueError: an encoder without such a model.
    """
    try:
        from transformers import PreTrainedModel

        model = next((part for part in encoder.body.modules() if isinstance(part, PreTrainedModel)), None)
    except ImportError:
        model = None  # then no encoder has such a model
    if model is None:
        raise ValueError(
            "`encoder` must be of `encoders.from_transformers` or `encoders.from_sentence_transformers`, got a body of "
            f"{type(encoder.body).__name__}."
        )
    return model
