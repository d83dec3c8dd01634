"""The shared pretrained encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """A module that maps inputs to features and says what it gives.

    Args:
        body: any module whose output is ``(n, dim)`` features.
        dim: their size.
        layers: names of submodules of `body`, from general (near the input) to specific. ``None`` takes the direct
            children that have parameters.
        preprocess: what the weights expect to be done to a raw image before it is an input; kept, never applied.

    Attributes:
        dim: feature size, for the heads.
        layers: ordered dict from name to submodule.

    Raises:
        ValueError: a layer that `body` does not have.
    """

    def __init__(self, body: nn.Module, dim: int, *, layers: Sequence[str] | None = None, preprocess: Any = None):
        super().__init__()
        self.body, self.dim, self.preprocess = body, dim, preprocess
        if layers is None:
            layers = [name for name, child in body.named_children() if any(True for _ in child.parameters())]
        known = dict(body.named_modules())
        for name in layers:
            if name not in known:
                raise ValueError(f"`layers` names `{name}`, which the body does not have; it has {', '.join(known)}.")
        self._layers = tuple(layers)

    def forward(self, inputs: Any) -> Tensor:
        return self.body(inputs)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: self.body.get_submodule(name) for name in self._layers}


def wrap(
    body: nn.Module, dim: int | None = None, *, example: Any = None, layers: Sequence[str] | None = None
) -> Encoder:
    """Any module as an encoder.

    Args:
        body: maps inputs to ``(n, dim)`` features. Cut off its classifier first (say, replace it by ``nn.Identity()``).
        dim: feature size; or
        example: a small batch of inputs from which it is read, by one pass in evaluation mode without gradient.
        layers: as in :class:`Encoder`.

    Raises:
        ValueError: neither `dim` nor `example`; features that are not ``(n, dim)``.

    >>> wrap(nn.Flatten(), example=torch.zeros(2, 3, 4)).dim
    12
    """
    if dim is None:
        if example is None:
            raise ValueError("`dim` is not known: give the feature size, or an `example` batch to read it from.")
        modes = {module: module.training for module in body.modules()}
        with torch.no_grad():
            features = body.eval()(example)
        for module, training in modes.items():
            module.training = training
        if features.ndim != 2:
            raise ValueError(
                f"`body` must return (n, dim) features, got {tuple(features.shape)}: pool or flatten them."
            )
        dim = features.shape[1]
    return Encoder(body, dim, layers=layers)
