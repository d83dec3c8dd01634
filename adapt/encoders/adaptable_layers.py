"""The layers of a module that receive adapters."""

from collections.abc import Sequence
from typing import Any

from torch import nn


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
