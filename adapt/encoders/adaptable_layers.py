"""Which layers of a module receive adapters."""

from collections.abc import Sequence
from typing import Any

from torch import nn


def adaptable_layers(module: nn.Module, only: Sequence[str] | None, kinds: tuple[type, ...]) -> dict[str, Any]:
    """The layers of these kinds by name: all, or those that `only` names, whole or by the last parts of their names.

    A grouped convolution is left out of all, and an error where it is named. Layers inside an ``nn.MultiheadAttention`` are
    its own business.

    Raises:
        ValueError: nothing found; a name that fits no such layer; a string instead of a sequence of names.
    """
    if isinstance(only, str):
        raise ValueError(f"`only` must be a sequence of names, got the string {only!r}: write [{only!r}].")
    attention = [f"{name}." for name, m in module.named_modules() if isinstance(m, nn.MultiheadAttention)]
    known = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, kinds) and not any(name.startswith(prefix) for prefix in attention)
    }
    grouped = [name for name, layer in known.items() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    if only is None:
        found = {name: layer for name, layer in known.items() if name not in grouped}
    else:
        fits = {wish: [n for n in known if n == wish or n.endswith(f".{wish}")] for wish in only}
        for wish, names in fits.items():
            if not names:
                raise ValueError(
                    f"`only` names `{wish}`, which fits none of the layers {', '.join(known) or 'there are'}."
                )
            if set(names) & set(grouped):
                raise ValueError(f"`only` names `{wish}`, a grouped convolution: adapters are for groups=1.")
        found = {name: layer for name, layer in known.items() if any(name in names for names in fits.values())}
    if not found:
        raise ValueError(
            f"a {type(module).__name__} has no {' or '.join(k.__name__ for k in kinds)} to adapt "
            "(GPT-2 keeps its weights in layers of its own: adapt it with peft, the extra `lora`)."
        )
    return found
