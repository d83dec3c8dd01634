"""Learned task uncertainties."""

import torch
from torch import Tensor, nn

from adapt.multitask.task_weights import present


class Uncertainty(nn.Module):
    r"""Homoscedastic uncertainty: a learned log-variance a task.

    .. math:: \min_s \; \tfrac12 \sum_i e^{-s_i} L_i + s_i, \qquad w_i = e^{-s_i}

    The log-variances take one step of gradient descent at each call, after the weights were read. They come to rest at
    :math:`s_i = \log L_i`, hence :math:`w_i = 1 / L_i`: :func:`imtl_l` with inertia. (The factor 1/2 of the paper is left out of
    the weights, so that they start at 1.)

    Args:
        rate: of the descent; 0.01, ours.
        bound: :math:`|s_i|` never exceeds it; 5, ours: a loss that vanishes would get an infinite weight.

    Buffer, in the state_dict: `log_variances`. A task that is absent keeps its own.

    Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, 2018, https://arxiv.org/abs/1705.07115
    """

    log_variances: Tensor

    def __init__(self, *, rate: float = 0.01, bound: float = 5.0):
        super().__init__()
        self.rate, self.bound = rate, bound
        self.register_buffer("log_variances", None)

    def start(self, tasks: int) -> None:
        self.log_variances = torch.zeros(tasks)

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if self.log_variances is None:
            self.start(len(losses))
        s = self.log_variances.to(losses.device)
        weights = torch.exp(-s).to(losses.dtype)
        slope = 0.5 * (1 - torch.exp(-s) * losses)
        moved = (s - self.rate * slope).clamp(-self.bound, self.bound)
        self.log_variances = torch.where(present(losses), moved, s).to(s.dtype)
        return weights


def uncertainty(*, rate: float = 0.01, bound: float = 5.0) -> Uncertainty:
    """:class:`Uncertainty`."""
    return Uncertainty(rate=rate, bound=bound)
