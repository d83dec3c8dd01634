"""The outputs of named layers of an encoder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def layer_outputs(
    layers: Mapping[str, nn.Module],
    names: Sequence[str] | None = None,
    *,
    keep: Callable[[str, Any], Any] | None = None,
    stop: bool = False,
) -> Iterator[dict[str, Any]]:
    """Collect the outputs of named layers during the passes inside the block.

    Args:
        layers: modules by name, such as ``encoder.layers``.
        names: the layers to watch; ``None`` watches all. Without a name the block costs nothing.
        keep: a function of the name and the output; runs as soon as the layer is done. The dict holds the return
            value. A layer behind may write over an output in place: make a copy in `keep` where a pass does so.
            ``None`` keeps the output.
        stop: end the pass, and the block, as soon as all watched layers are done. Later layers are not computed.

    Yields:
        A dict from name to the output of the last call of the layer, filled during a pass. A layer that the pass did
        not reach is absent.

    Raises:
        ValueError: a name outside of `layers`.

    >>> encoder = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with layer_outputs(dict(encoder.named_children()), ["0"]) as outputs:
    ...     y = encoder(torch.zeros(5, 2))
    >>> outputs["0"].shape
    torch.Size([5, 3])
    """
    names = list(layers if names is None else names)
    if unknown := [name for name in names if name not in layers]:
        raise ValueError(
            f"layer `{unknown[0]}` was asked for, and the encoder has {list(layers) or 'no named layers'}."
        )
    outputs: dict[str, Any] = {}
    end = _AllDone()

    def hook_of(name: str) -> Callable:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            outputs[name] = output if keep is None else keep(name, output)
            if stop and len(outputs) == len(names):
                raise end

        return hook

    hooks = [layers[name].register_forward_hook(hook_of(name)) for name in names]
    try:
        yield outputs
    except _AllDone as reached:
        if reached is not end:  # of a block around this block
            raise
    finally:
        for handle in hooks:
            handle.remove()


class _AllDone(Exception):
    """All watched layers are done."""
