"""Distances between rows, and their middle."""

import torch
from torch import Tensor


def squared_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""``(n, m)`` matrix of :math:`\lVert x_i - y_j \rVert^2`; of `x` with itself where `y` is None, zero on the
    diagonal.

    By one matrix product. The rows are moved to their middle first, which changes no distance and keeps what cancels
    small: the error of a distance is a rounding of the squared distances of its two rows to the middle.
    """
    itself = y is None
    x, y = centred(x, x if y is None else y)
    with torch.autocast(x.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        D = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)
    return D - torch.diag_embed(D.diagonal()) if itself else D


def centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds minus one point in their middle, without gradient through that point."""
    origin = (middle(x) + middle(y)) / 2
    return x - origin, y - origin


def middle(x: Tensor) -> Tensor:
    """``(d,)`` point among most rows, without gradient: the median, feature by feature, of at most nine rows.

    A mean would follow a single outlier, and all other rows would lose the digits of its size. More rows than nine
    would cost more than they bring: any point among the rows serves.
    """
    return x.detach()[:: (x.shape[0] + 8) // 9].median(0).values


def mean(x: Tensor) -> Tensor:
    """``(d,)``; the mean of equal rows is that row exactly (`x.mean(0)` rounds): their distances must be zero."""
    return x[0] + (x - x[0]).mean(0)
