"""How rows are compared with rows: what several losses of this room share."""

import torch
from torch import Tensor

from losses.checks import full_precision


def unit_rows(x: Tensor) -> Tensor:
    """Scale rows to length one: products are cosines. A row shorter than 1e-12 becomes zero and gets no gradient."""
    squared = x.square().sum(1, keepdim=True)
    return x * torch.where(squared > 1e-24, squared, torch.inf).rsqrt()


def similarities(x: Tensor, y: Tensor) -> Tensor:
    """``(n, m)`` inner products of rows, in the precision of `x` whatever autocast surrounds it."""
    with full_precision(x):
        return x @ y.T


def without_self(S: Tensor) -> Tensor:
    """`S` with the diagonal so low that it drops out of a softmax; finite, so that a row left alone has no NaN."""
    itself = torch.eye(S.shape[0], dtype=torch.bool, device=S.device)
    return S.masked_fill(itself, torch.finfo(S.dtype).min)


def positives_and_negatives(labels: Tensor) -> tuple[Tensor, Tensor]:
    """``(n, n)`` masks: j is another row of i's class; j is of another class."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(labels.shape[0], dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def square_root(D: Tensor) -> Tensor:
    """Root of squared distances, with gradient zero (one of the subgradients) where the distance is zero."""
    apart = D != 0
    return torch.where(apart, D, 1).sqrt() * apart


def mean_where(values: Tensor, keep: Tensor) -> Tensor:
    """Mean of the `values` that are kept; 0, with zero gradient, where there are none."""
    return torch.where(keep, values, 0).sum() / keep.sum().clamp_min(1)
