"""The layers of a module that receive adapters."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

# `self.qkv.weight` as a value; `self.qkv.weight.dtype` reads no numbers
READ = re.compile(r"\bself\.([\w.]+)\.weight\b(?!\s*\.(?:dtype|device|shape|data|ndim|size|requires_grad)\b)")


def adaptable_layers(module: nn.Module, only: Sequence[str] | None, kinds: tuple[type, ...]) -> dict[str, Any]:
    """Return the layers of the given kinds by name: all, or the layers that `only` names.

    Without `only` grouped convolutions are left out. Layers inside an ``nn.MultiheadAttention`` are never returned.

    Args:
        module: where to look.
        only: whole names of layers, or the last parts of names (``"fc1"`` takes every ``...fc1``). ``None`` takes all.
        kinds: classes of layers.

    Raises:
        ValueError: no layer found; a name that fits no layer; the name of a grouped convolution; a text instead of a
            sequence of names.
    """
    if isinstance(only, str):
        raise ValueError(f"`only` must be a sequence of names, got the text {only!r}: write [{only!r}].")
    attention = [f"{name}." for name, m in module.named_modules() if isinstance(m, nn.MultiheadAttention)]
    known = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, kinds) and not any(name.startswith(prefix) for prefix in attention)
    }
    grouped = [name for name, layer in known.items() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    chosen = [name for name in known if name not in grouped] if only is None else _named(only, list(known), grouped)
    if not chosen:
        raise ValueError(
            f"a {type(module).__name__} has no {' or '.join(k.__name__ for k in kinds)} to adapt "
            "(GPT-2 keeps its weights in layers of its own: adapt it with peft, the extra `lora`)."
        )
    return {name: known[name] for name in known if name in chosen}


def called_layers(
    module: nn.Module,
    only: Sequence[str] | None,
    layers: Mapping[str, Any],
    suits: Callable[[nn.Module], bool] = lambda layer: True,
) -> dict[str, Any]:
    """Return the `layers` of :func:`adaptable_layers` that are called in a pass, and that `suits` takes.

    Raises:
        ValueError: `only` names a layer that is left out; no layer is left.
    """
    in_place = read_in_place(module)
    found = {name: layer for name, layer in layers.items() if name not in in_place and suits(layer)}
    left_out = [name for name in layers if name not in found]
    if left_out and (only is not None or not found):
        raise ValueError(
            f"the weight of `{left_out[0]}` is read without a call of the layer, or computed in a way of its own: name "
            "other layers in `only`, or take `encoders.lora`, whose update is a part of the weight there."
        )
    return found


def read_in_place(module: nn.Module) -> set[str]:
    """Return the names of the layers inside `module` whose weight a module above reads, without a call of the layer.

    Swin, BEiT and EVA compute ``F.linear(x, self.qkv.weight, bias)``: a hook of ``qkv`` would never run. The source of
    the methods tells; a class typed at a prompt has no source. A name too many costs a little time and nothing else.
    """
    by_class: dict[type, set[str]] = {}
    found: set[str] = set()
    for name, owner in module.named_modules():
        kind = type(owner)
        if kind not in by_class:
            by_class[kind] = {read for method in _methods(kind) for read in READ.findall(_source(method))}
        found.update(f"{name}.{read}" if name else read for read in by_class[kind])
    return found


def _methods(kind: type) -> Iterator[Any]:
    """Yield the methods of a class outside of torch, without the methods that make or initialise the weights."""
    for base in kind.__mro__:
        if not base.__module__.startswith("torch."):
            for name, method in vars(base).items():
                method = inspect.unwrap(method) if inspect.isfunction(method) else method  # a decorator reads nothing
                if inspect.isfunction(method) and "weight" in method.__code__.co_names and "init" not in name:
                    yield method


def _source(method: Any) -> str:
    try:
        return inspect.getsource(method)
    except (OSError, TypeError):
        return ""


def _named(only: Sequence[str], known: list[str], grouped: list[str]) -> set[str]:
    chosen: set[str] = set()
    for wish in only:
        fitting = [name for name in known if name == wish or name.endswith(f".{wish}")]
        if not fitting:
            raise ValueError(f"`only` names `{wish}`, which fits none of the layers {', '.join(known) or 'there are'}.")
        if set(fitting) & set(grouped):
            raise ValueError(f"`only` names `{wish}`, a grouped convolution: adapters are for groups=1.")
        chosen.update(fitting)
    return chosen
