"""Adapters of a module as plain facts, to put them onto the same module made again."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from adapt.encoders._ia3 import _multiply_input, _multiply_output, _ones
from adapt.encoders._lora import LowRankUpdate, _settings, add_adapter, add_update, expect_unmerged, new_adapter


def describe_adapters(module: nn.Module) -> list[dict[str, Any]]:
    """Return the adapters of :func:`encoders.lora` and :func:`encoders.ia3` inside `module`, one entry per layer.

    Raises:
        ValueError: merged adapters, whose original weights no file of weights holds.
    """
    expect_unmerged(module, "the module is described")
    found: list[dict[str, Any]] = []
    for name, layer in module.named_modules():
        settings = _settings(layer)
        if settings is not None:
            rank = layer.lora_A.shape[0]
            found.append(
                {"layer": name, "rank": rank, "scale": settings.scale, "dropout": settings.dropout, "kind": "lora"}
            )
        for weight in ("in_proj_weight", "weight") if parametrize.is_parametrized(layer) else ():
            if not parametrize.is_parametrized(layer, weight):
                continue
            for update in layer.parametrizations[weight]:
                if isinstance(update, LowRankUpdate):
                    facts = {"rank": len(update.lora_A), "scale": update.scale, "weight": weight, "kind": "low rank"}
                    found.append({"layer": name, **facts})
        for hooks, side in ((layer._forward_pre_hooks, "input"), (layer._forward_hooks, "output")):
            if any(hook in (_multiply_input, _multiply_output) for hook in hooks.values()):
                found.append({"layer": name, "kind": f"ia3 {side}"})
    return found


def add_described_adapters(module: nn.Module, adapters: Sequence[Mapping[str, Any]]) -> None:
    """Put the adapters of :func:`describe_adapters` onto `module`, with random weights."""
    for facts in adapters:
        layer: Any = module.get_submodule(facts["layer"])
        if facts["kind"] == "lora":
            add_adapter(layer, *new_adapter(layer.weight, facts["rank"]), facts["scale"], facts["dropout"])
        elif facts["kind"] == "low rank":
            add_update(layer, facts["weight"], facts["rank"], facts["scale"])
        elif facts["kind"] == "ia3 input":
            layer.ia3_factor = _ones(layer.weight, 1)
            layer.register_forward_pre_hook(_multiply_input)
        else:
            layer.ia3_factor = _ones(layer.weight, 0)
            layer.register_forward_hook(_multiply_output)
