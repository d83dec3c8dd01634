"""Soft optimal uncertainty weighting."""

from torch import Tensor

from adapt.engine.description import Described, call_text
from adapt.multitask.task_weights import present, shares
from adapt.protocols import Balance
from losses.options import POSITIVE, check


def uw_so(*, temperature: float = 10.0, floor: float = 1e-8) -> Balance:
    r"""Return the optimum of uncertainty weighting, softened: UW-SO.

    .. math:: w = T \, \mathrm{softmax} \bigl( (1 / L_i) / \tau \bigr)

    Args:
        temperature: :math:`\tau`; a large value is near equal weights. The paper tunes the temperature for each data
            set; the default of 10 suits losses around 1 and is our choice.
        floor: smaller losses count as `floor`; losses must be positive. The default is our choice.

    Raises:
        ValueError: an option that is not positive.

    Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning, 2024,
    https://arxiv.org/abs/2408.07985

    >>> uw_so(temperature=1.0)(torch.tensor([0.5, 1.0]))
    tensor([1.4621, 0.5379])
    """
    check(POSITIVE, temperature=temperature, floor=floor)

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return shares(1 / losses.clamp_min(floor) / temperature, present(losses))

    return Described(weigh, call_text("uw_so", temperature=temperature, floor=floor))
