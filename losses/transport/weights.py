"""Weights of the rows of a cloud, as a distribution."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32


def row_weights(name: str, weights: Tensor | None, x: Tensor, global_batch: bool) -> tuple[Tensor, Tensor]:
    """``(n,)`` numbers that sum to one, of all ranks where asked for, without gradient; and 1, or 0 where all are zero.

    Where all are zero the numbers are equal, so that what is computed stays finite: multiply it by the second.
    """
    if weights is None:
        weights = torch.ones_like(x[:, 0])
    elif weights.shape != x.shape[:1]:
        raise ValueError(
            f"`{name}` must hold one number for each row, shape ({x.shape[0]},), got {tuple(weights.shape)}."
        )
    w = at_least_float32(weights.detach()).to(x.dtype)
    if global_batch:
        w = gather(w)
    total = w.sum()
    some = total > 0
    uniform = torch.full_like(w, 1 / w.shape[0])
    return torch.where(some, w / torch.where(some, total, torch.ones_like(total)), uniform), some.to(w.dtype)
