"""Lengths and directions that have a gradient at zero."""

import torch
from torch import Tensor


def norm(x: Tensor, dim: int = 1) -> Tensor:
    """Euclidean lengths along `dim`; a zero vector has length 0 and gradient 0."""
    squared = x.square().sum(dim)
    there = squared != 0  # and not > 0: NaN stays NaN
    # where on both sides of sqrt: its derivative at 0 would be inf, and inf * 0 is NaN
    return torch.where(there, torch.where(there, squared, 1).sqrt(), 0)


def unit(x: Tensor, dim: int = 1) -> Tensor:
    """`x` with length 1 along `dim`; a zero vector stays zero and has gradient 0."""
    length = norm(x, dim).unsqueeze(dim)
    return torch.where(length != 0, x / torch.where(length != 0, length, 1), 0)
