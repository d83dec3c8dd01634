"""The smooth maximum of the losses."""

from torch import Tensor

from adapt.multitask.task_weights import present, shares
from adapt.protocols import Balance


def stch(*, smoothing: float = 0.5, floor: float = 1e-8) -> Balance:
    r"""Smooth Tchebycheff scalarisation of the logarithms of the losses: the task that lags counts most.

    .. math:: \nabla \; \mu \log \sum_i e^{\log L_i / \mu} \propto \sum_i w_i \nabla L_i, \qquad w = T \, \mathrm{softmax} \bigl( (1 / \mu - 1) \log L \bigr)

    The objectives are logarithms of losses over their nadir, as in the authors' code for several tasks; here the nadir is the
    natural scale of :func:`adapt.multitask.task`, instead of the mean loss after four epochs, and the weights sum to T.
    Preferences are the weights of the terms.

    Args:
        smoothing: :math:`\mu`; towards 0 the largest loss alone. 0.5, where weights are proportional to losses, ours: at 1, the
            authors' default, all weights are equal. Where few rows of a task are in a batch a small one follows their noise.
        floor: losses below it count as it; losses must be positive. Ours.

    Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, 2024, https://arxiv.org/abs/2402.19078

    >>> stch()(torch.tensor([1.0, 3.0]))
    tensor([0.5000, 1.5000])
    """
    if not smoothing > 0:
        raise ValueError(f"`smoothing` must be positive, got {smoothing}.")

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return shares((1 / smoothing - 1) * losses.clamp_min(floor).log(), present(losses))

    return weigh
