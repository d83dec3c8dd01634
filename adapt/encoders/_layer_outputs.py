"""What named layers of an encoder return on the way."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def layer_outputs(layers: Mapping[str, nn.Module], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Collect the outputs of named layers during the passes inside the block.

    Args:
        layers: modules by name, ``encoder.layers``.
        names: the layers to watch. The block costs nothing where there is none.

    Yields:
        A dict from name to the output of the last call of the layer; filled during a pass.

    Raises:
        ValueError: a name that `layers` does not have.

    >>> encoder = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with layer_outputs(dict(encoder.named_children()), ["0"]) as outputs:
    ...     y = encoder(torch.zeros(5, 2))
    >>> outputs["0"].shape
    torch.Size([5, 3])
    """
    outputs: dict[str, Any] = {}
    if unknown := [name for name in names if name not in layers]:
        raise ValueError(
            f"layer `{unknown[0]}` was asked for, and the encoder has {list(layers) or 'no named layers'}."
        )

    def keep(name: str) -> Any:
        return lambda module, inputs, output: outputs.update({name: output})

    hooks = [layers[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
