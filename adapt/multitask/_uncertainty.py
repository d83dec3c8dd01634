"""Learned task uncertainties."""

import torch
from torch import Tensor, nn

from adapt.engine.description import call_text
from adapt.multitask.task_weights import present
from losses.options import POSITIVE, check


def uncertainty(*, rate: float = 0.01, bound: float = 5.0) -> "Uncertainty":
    r"""Return homoscedastic uncertainty: a learned log-variance per task.

    .. math:: \min_s \; \tfrac12 \sum_i e^{-s_i} L_i + s_i, \qquad w_i = e^{-s_i}

    The log-variances take one step of gradient descent at each call, after the weights were read. The log-variances
    come to rest at :math:`s_i = \log L_i`, hence :math:`w_i = 1 / L_i`: :func:`imtl_l` with inertia. (The weights leave
    out the factor 1/2 of the paper, so that the weights start at 1.)

    Args:
        rate: of the descent; the default of 0.01 is our choice.
        bound: the largest :math:`|s_i|`; without a bound, a vanishing loss would get an infinite weight. The default of
            5 is our choice.

    Buffer, in the state_dict: `log_variances`. An absent task keeps its log-variance.

    Raises:
        ValueError: an option that is not positive.

    Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, 2018, https://arxiv.org/abs/1705.07115
    """
    return Uncertainty(rate, bound)


class Uncertainty(nn.Module):
    """The balance of :func:`uncertainty`."""

    log_variances: Tensor

    def __init__(self, rate: float, bound: float):
        super().__init__()
        check(POSITIVE, rate=rate, bound=bound)
        self.rate, self.bound = rate, bound
        self.made_by = call_text("uncertainty", rate=rate, bound=bound)
        self.register_buffer("log_variances", None)

    def __repr__(self) -> str:
        return self.made_by

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
