"""Helpers of the balancers from losses: which tasks are present, weights whose sum is the number of tasks, options."""

import torch
from torch import Tensor


def present(losses: Tensor) -> Tensor:
    """Return ``(tasks,)`` booleans: whether a task is in the batch. The loss of an absent task is NaN."""
    return ~losses.isnan()


def normalized(weights: Tensor, in_batch: Tensor) -> Tensor:
    """Return weights of the present tasks whose sum is the number of present tasks; 0 for absent tasks."""
    weights = weights.masked_fill(~in_batch, 0)
    return weights * (in_batch.sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny))


def shares(logits: Tensor, in_batch: Tensor) -> Tensor:
    """Return a softmax over the present tasks, times the number of present tasks; 0 for absent tasks."""
    return logits.masked_fill(~in_batch, -torch.inf).softmax(0).nan_to_num() * in_batch.sum()
