"""Rows of all ranks, with gradient."""

import torch
import torch.distributed as dist
from torch import Tensor


def gather(rows: Tensor) -> Tensor:
    r"""Concatenate the rows of all ranks, in the order of the ranks; the identity on a single rank.

    Forward is an all-gather. Backward sums the gradient of the rows of this rank over the ranks (a reduce-scatter).
    Every rank computes the same loss on the gathered rows, and the gradients of the parameters are **averaged** over
    the ranks: the result is the gradient of the loss on a single rank with all rows, without a factor.

    Args:
        rows: ``(n, ...)``, the same shape on every rank (use fixed batch sizes).

    Returns:
        ``(world * n, ...)``.

    Twice differentiable; compiles with ``fullgraph=True``. Public collectives only, in the default process group.

    >>> gather(torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    try:
        return _Gather.apply(rows)
    except NotImplementedError as error:
        raise NotImplementedError("`gather` has no forward mode on several ranks: use reverse mode.") from error


def first_row(rows: int) -> int:
    """Return the position of the first row of this rank among the rows of all ranks, with `rows` rows per rank."""
    return rows * dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        out = rows.new_empty((dist.get_world_size() * rows.shape[0], *rows.shape[1:]))
        dist.all_gather_into_tensor(out, rows.contiguous())
        return out

    @staticmethod
    def backward(ctx, grad):
        return _ReduceScatter.apply(grad)


class _ReduceScatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, grad):
        out = grad.new_empty((grad.shape[0] // dist.get_world_size(), *grad.shape[1:]))
        dist.reduce_scatter_tensor(out, grad.contiguous())
        return out

    @staticmethod
    def backward(ctx, grad):
        return _Gather.apply(grad)
