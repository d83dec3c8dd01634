"""Features minus a centre, of unit length."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.classifier import Classifier
from adapt.heads.sizes import check_features
from adapt.heads.task_layers import WithTaskLayers
from adapt.protocols import HasDim, dim_of
from losses.checks import full_precision
from losses.fine_tuning.norm import unit as unit_length
from losses.options import FROM_0, TRUTH, check, or_none


class Centred(nn.Module):
    r"""Features minus a centre, and of unit length: the layer of few-shot classifiers, before a linear head.

    .. math:: x = \frac{f - m}{\lVert f - m \rVert}, \qquad \text{or } x = f - m

    ``WithTaskLayers(Centred(encoder), Classifier(encoder, names))`` is a classifier by cosine.

    Args:
        encoder: an encoder, or a feature size.
        unit: whether rows get unit length. A row at the centre stays a row of zeros.
        axes: None gives x. A number r gives one feature more, :math:`\lVert x \rVert^2 - \lVert P x \rVert^2` with an
            ``(r, dim)`` matrix P: a linear layer then computes squared distances, and for r > 0 the distances of
            Mahalanobis.

    Attributes:
        centre: ``(dim,)`` :math:`m`, a buffer, 0 at first.
        directions: ``(r, dim)`` :math:`P`, a buffer, 0 at first; absent without `axes`.
        dim: size of the output: one more than the size of the features where `axes` is a number.

    Raises:
        ValueError: `axes` below 0; features of another size.

    >>> Centred(2)(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, encoder: HasDim | int, *, unit: bool = True, axes: int | None = None):
        super().__init__()
        check(TRUTH, unit=unit)
        check(or_none(FROM_0), axes=axes)
        self.unit, self.axes, self.size = unit, axes, dim_of(encoder)
        self.dim = self.size if axes is None else self.size + 1
        self.register_buffer("centre", torch.zeros(self.size))
        if axes is not None:
            self.register_buffer("directions", torch.zeros(axes, self.size))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Centred", {"encoder": self.size, "unit": self.unit, "axes": self.axes}

    def extra_repr(self) -> str:
        return f"{self.size}, unit={self.unit}, axes={self.axes}"

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.size)
        x = features - self.centre
        x = unit_length(x, -1) if self.unit else x
        if self.axes is None:
            return x
        with full_precision(x):
            rest = x.square().sum(-1, keepdim=True) - (x @ self.directions.mT).square().sum(-1, keepdim=True)
        return torch.cat([x, rest], -1)


def solved(before: Centred, weight: Tensor, bias: Tensor, names: Sequence[str]) -> WithTaskLayers:
    """Return a linear classifier behind centred features, with ``(classes, before.dim)`` weights that are known.

    The global random state stays as it is.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        head = Classifier(before.dim, names)
        head.linear.weight.copy_(weight)
        head.linear.bias.copy_(bias)
    return WithTaskLayers(before, head)
