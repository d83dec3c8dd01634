"""The smooth maximum of the losses."""

from torch import Tensor

from adapt.multitask.protocol import Balance
from adapt.multitask.weights import present, shares


def stch(*, smoothing: float = 0.1) -> Balance:
    r"""Smooth Tchebycheff scalarisation: the task that lags counts most.

    .. math:: \nabla \; T \mu \log \sum_i e^{L_i / \mu} = \sum_i w_i \nabla L_i, \qquad w = T \, \mathrm{softmax}(L / \mu)

    Preferences are the weights of the terms; the ideal point is 0, where losses in their natural scale end.

    Args:
        smoothing: :math:`\mu`; 0 would be the maximum alone, large is near equal. 0.1 suits losses around 1, ours.

    Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, 2024, https://arxiv.org/abs/2402.19078

    >>> stch(smoothing=1.0)(torch.tensor([1.0, 2.0]))
    tensor([0.5379, 1.4621])
    """
    if not smoothing > 0:
        raise ValueError(f"`smoothing` must be positive, got {smoothing}.")

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return shares(losses / smoothing, present(losses))

    return weigh
