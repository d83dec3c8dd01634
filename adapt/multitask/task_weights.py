"""What the balancers from losses share: which tasks are there, and weights whose sum is their number."""

import torch
from torch import Tensor


def present(losses: Tensor) -> Tensor:
    """``(tasks,)``: whether a task is in the batch; the loss of one that is not is NaN."""
    return ~losses.isnan()


def normalized(weights: Tensor, there: Tensor) -> Tensor:
    """Weights of the tasks that are there, whose sum is their number: equal weights are 1 each. 0 for the others."""
    weights = weights.masked_fill(~there, 0)
    return weights * (there.sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny))


def shares(logits: Tensor, there: Tensor) -> Tensor:
    """A softmax over the tasks that are there, times their number; 0 for the others."""
    return logits.masked_fill(~there, -torch.inf).softmax(0).nan_to_num() * there.sum()
