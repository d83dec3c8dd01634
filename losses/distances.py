"""Distances between rows, and the middle of rows."""

import torch
from torch import Tensor

from losses.checks import full_precision


def squared_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""``(n, m)`` matrix of :math:`\lVert x_i - y_j \rVert^2`; of `x` with itself where `y` is None, zero on the
    diagonal.

    Computed by a matrix product. The rows are first moved to the middle of all rows: no distance changes, and the
    numbers that cancel stay small. The error of a distance is a rounding of the squared distances of the two rows to
    the middle.
    """
    itself = y is None
    x, y = centred(x, x if y is None else y)
    with full_precision(x):
        D = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)
    return D - torch.diag_embed(D.diagonal()) if itself else D


def centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return both clouds minus a common middle point, without gradient through the middle point."""
    origin = (middle(x) + middle(y)) / 2
    return x - origin, y - origin


def middle(x: Tensor) -> Tensor:
    """Return a ``(d,)`` point among the rows, without gradient: the median of each feature over three rows.

    A mean would follow a single outlier, and rounding at the size of the outlier would spoil all other rows. Any point
    among the rows serves. The median of three by minima and maxima costs a fifth of ``Tensor.median``.
    """
    first, centre, last = x.detach()[0], x.detach()[x.shape[0] // 2], x.detach()[-1]
    low, high = torch.minimum(first, centre), torch.maximum(first, centre)
    return torch.maximum(low, torch.minimum(high, last))


def mean(x: Tensor) -> Tensor:
    """Return the ``(d,)`` mean; for equal rows exactly the row (`x.mean(0)` rounds), so that distances stay zero."""
    return x[0] + (x - x[0]).mean(0)
