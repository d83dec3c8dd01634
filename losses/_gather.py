"""Rows of all ranks, with their gradient."""

import torch
import torch.distributed as dist
from torch import Tensor


def gather(rows: Tensor) -> Tensor:
    r"""Concatenate the rows of all ranks, in the order of the ranks; the identity where there is one rank.

    Forward is an all-gather; backward sums over the ranks the gradient of this rank's rows (a reduce-scatter), so
    when every rank computes the same loss on the gathered rows and the parameters' gradients are **averaged** over
    the ranks, the result is the gradient of that loss on one rank that holds all rows: no factor is needed.

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
    """Where this rank's rows begin among those of all ranks, each with `rows` of them."""
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
