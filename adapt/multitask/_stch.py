"""The smooth maximum of the losses."""

from torch import Tensor

from adapt.engine.description import Described, call_text
from adapt.multitask.task_weights import present, shares
from adapt.protocols import Balance
from losses.options import POSITIVE, check


def stch(*, smoothing: float = 0.5, floor: float = 1e-8) -> Balance:
    r"""Return the smooth Tchebycheff scalarisation of the logarithms of the losses: the largest loss counts most.

    .. math::
        \nabla \; \mu \log \sum_i e^{\log L_i / \mu} \propto \sum_i w_i \nabla L_i, \qquad
        w = T \, \mathrm{softmax} \bigl( (1 / \mu - 1) \log L \bigr)

    The objectives are logarithms of losses over a nadir, as in the authors' code for several tasks. The nadir here is
    the natural scale of :func:`adapt.multitask.task`, instead of the mean loss after four epochs, and the weights sum
    to T. The weights of the terms are the preferences.

    Args:
        smoothing: :math:`\mu`; towards 0 the largest loss counts alone. The default of 0.5, with weights proportional
            to the losses, is our choice: with 1, the authors' default, all weights are equal. With few rows per task in
            a batch, a small value follows the noise of the losses.
        floor: smaller losses count as `floor`; losses must be positive. The default is our choice.

    Raises:
        ValueError: an option that is not positive.

    Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, 2024,
    https://arxiv.org/abs/2402.19078

    >>> stch()(torch.tensor([1.0, 3.0]))
    tensor([0.5000, 1.5000])
    """
    check(POSITIVE, smoothing=smoothing, floor=floor)

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return shares((1 / smoothing - 1) * losses.clamp_min(floor).log(), present(losses))

    return Described(weigh, call_text("stch", smoothing=smoothing, floor=floor))
