"""Distances between rows, and their middle."""

import torch
from torch import Tensor


def squared_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""``(n, m)`` matrix of :math:`\lVert x_i - y_j \rVert^2`; of `x` with itself where `y` is None, zero on the
    diagonal.

    By one matrix product. The rows are moved to their centre first, which changes no distance and keeps what cancels
    small: the error is a rounding of the squared radius of the rows that are compared.
    """
    itself = y is None
    x, y = centred(x, x if y is None else y)
    with torch.autocast(x.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        D = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)
    return D - torch.diag_embed(D.diagonal()) if itself else D


def centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds minus one point in their middle, without gradient through it."""
    middle = (mean(x) + mean(y)).detach() / 2
    return x - middle, y - middle


def mean(x: Tensor) -> Tensor:
    """``(d,)``; the mean of equal rows is that row exactly (`x.mean(0)` rounds): their distances must be zero."""
    return x[0] + (x - x[0]).mean(0)
