"""Means over rows, weighted, the same on one rank and on several."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_weights


def mean(values: Tensor, weights: Tensor | None = None, *, name: str = "weights") -> Tensor:
    r"""Mean of `values`, weighted where `weights` are given: :math:`\sum_i w_i v_i / \sum_i w_i`.

    Args:
        values: any shape.
        weights: the same shape, not negative; booleans are a mask. All zero gives 0, with zero gradient.
        name: what an error calls them.

    Each rank divides by the mean over the ranks of their sums of weights, so that the mean of the ranks' values is the
    weighted mean over all rows (the mean of the ranks' weighted means is another number). A value that is not finite
    is left out where its weight is zero.

    >>> mean(torch.tensor([1.0, 2.0, torch.inf]), torch.tensor([1.0, 3.0, 0.0]))
    tensor(1.7500)
    """
    if weights is None:
        return values.mean()
    check_weights(weights, tuple(values.shape), name)
    w = weights.to(at_least_float32(values).dtype)  # float64 weights do not make the result float64
    total = gather(w.sum()[None]).mean()
    total = torch.where(total > 0, total, torch.ones_like(total))  # no row counts: 0 / 1
    return (w * values.masked_fill(w == 0, 0)).sum() / total
