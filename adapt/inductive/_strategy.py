"""The part of a pretrained encoder that learns."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.encoders import Encoder, GlobalBatchNorm
from adapt.encoders._at_layer import modules_of_later_layers
from adapt.engine.description import plain
from adapt.inductive._doors import expect_adaptable

NORMS = (_BatchNorm, GlobalBatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.instancenorm._InstanceNorm)
PARTIAL = ("bias", "norm", "adapters")  # a little of every layer


def strategy(
    encoder: Encoder, learn: str | int | Sequence[str], *, batch_norm: Literal["frozen", "follow"] = "frozen"
) -> Encoder:
    """Freeze an encoder, a part of the encoder, or nothing. The optimizer of a trainer gets all parameters that learn.

    ``Trainer(inductive.strategy(encoder, 2), [adapt.supervised(head, on="target")], ...)``

    Args:
        encoder: changed in place: ``requires_grad`` of the parameters, and which modules stay in evaluation mode.
        learn:
            ``"probe"``: nothing; the encoder extracts features and only the head learns.
            a number k: the last k of ``encoder.layers``.
            names: these layers, or any modules of the encoder's body (surgical fine-tuning).
            ``"full"``: everything, from the pretrained start.
            ``"bias"``: the biases of all layers (BitFit).
            ``"norm"``: weights and biases of the normalisation layers.
            ``"adapters"``: the adapters of :func:`encoders.lora`, :func:`encoders.task_lora` and :func:`encoders.ia3`.
        batch_norm: ``"frozen"``: BatchNorm layers keep the pretrained statistics, in training too. Training then begins
            at the function that was evaluated, and LP-FT at the probe's solution. ``"follow"``: the statistics learn
            where the layer learns, as a network from scratch needs.

    Returns:
        `encoder`.

    A module outside of the named layers goes with the layer before the module (:meth:`Encoder.layer_of`). Layers behind
    the end of :func:`encoders.at_layer` are not computed, and never learn. A module that
    does not learn stays in evaluation mode, without dropout: a frozen prefix always gives the same features and can be
    cached (:func:`engine.features`).

    Related: :func:`inductive.direct` uses the pretrained classes without any learning; :func:`inductive.probe` is the
    start of LP-FT, a probe first and full fine-tuning after; with :func:`inductive.gradual` layers begin to learn one
    after the other.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: an unknown strategy, more layers than the encoder has, an unknown name, or a strategy without any
            parameter in this encoder.

    Ben Zaken et al., BitFit, 2022, https://arxiv.org/abs/2106.10199; Lee et al., Surgical Fine-Tuning Improves
    Adaptation to Distribution Shifts, 2023, https://arxiv.org/abs/2210.11466
    """
    expect_adaptable(encoder)
    learn = plain(learn)
    if batch_norm not in ("frozen", "follow"):
        raise ValueError(f'`batch_norm` must be "frozen" or "follow", got {batch_norm!r}.')
    modules = dict(encoder.body.named_modules())
    learning = _learning(encoder, learn) - modules_of_later_layers(encoder)
    wanted = {id(p): False for p in encoder.parameters()}
    for name in learning:
        module = modules[name]
        for parameter_name, parameter in module.named_parameters(recurse=False):
            if learn not in PARTIAL or _is_selected(str(learn), name, parameter_name, module):
                wanted[id(parameter)] = True
    if learn != "probe" and not any(wanted.values()):
        raise ValueError(f"`learn={learn!r}` leaves nothing to learn in this encoder; there is no such parameter.")
    for parameter in encoder.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(wanted[id(parameter)])
    encoder.keep_in_eval(
        name
        for name, module in modules.items()
        if name not in learning or (batch_norm == "frozen" and isinstance(module, _BatchNorm | GlobalBatchNorm))
    )
    return encoder


def _learning(encoder: Encoder, learn: str | int | Sequence[str]) -> set[str]:
    """Return the names of the modules inside of the body that learn."""
    modules = dict(encoder.body.named_modules())
    if learn == "probe":
        return set()
    if learn == "full" or learn in PARTIAL:
        return set(modules)
    if isinstance(learn, str | bool | Mapping) or not isinstance(learn, int | Collection):
        raise ValueError(
            f'`learn` must be "probe", "full", "bias", "norm", "adapters", a number of layers or a sequence of names, '
            f"got {learn!r}."
        )
    layers, layer_of = list(encoder.layers), encoder.layer_of()
    if isinstance(learn, int):
        if not 1 <= learn <= len(layers):
            raise ValueError(f"`learn` must be 1 to {len(layers)} layers of this encoder ({layers}), got {learn}.")
        learn = layers[-learn:]
    unknown = [name for name in learn if name not in modules]
    if unknown or not learn:
        raise ValueError(f"`learn` names {unknown}, which this encoder does not have; its layers are {layers}.")
    inside = {m for m in modules for name in learn if m == name or m.startswith(f"{name}.")}
    return inside | {m for m, layer in layer_of.items() if layer in learn}


def _is_selected(learn: str, name: str, parameter: str, module: nn.Module) -> bool:
    if learn == "bias":
        return parameter == "bias" or parameter.endswith("_bias")  # in_proj_bias of attention
    if learn == "norm":
        return isinstance(module, NORMS)
    return any(part.startswith(("lora_", "ia3_")) for part in (*name.split("."), parameter))
