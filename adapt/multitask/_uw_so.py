"""Soft optimal uncertainty weighting."""

from torch import Tensor

from adapt.multitask.task_weights import present, shares
from adapt.protocols import Balance


def uw_so(*, temperature: float = 10.0, floor: float = 1e-8) -> Balance:
    r"""The optimum of uncertainty weighting, softened: UW-SO.

    .. math:: w = T \, \mathrm{softmax} \bigl( (1 / L_i) / \tau \bigr)

    Args:
        temperature: :math:`\tau`; large is near equal. The paper tunes it a dataset; 10 suits losses around 1, ours.
        floor: losses below it count as it; losses must be positive. Ours.

    Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning, 2024,
    https://arxiv.org/abs/2408.07985

    >>> uw_so(temperature=1.0)(torch.tensor([0.5, 1.0]))
    tensor([1.4621, 0.5379])
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive, got {temperature}.")

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return shares(1 / losses.clamp_min(floor) / temperature, present(losses))

    return weigh
