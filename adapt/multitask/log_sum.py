"""The sum of the logarithms of the losses, under two published names."""

from torch import Tensor

from adapt.engine.description import Described, call_text
from adapt.multitask.task_weights import present
from adapt.protocols import Balance
from losses.options import POSITIVE, check


def gls(*, floor: float = 1e-8) -> Balance:
    r"""Return the geometric loss strategy: the gradient of the geometric mean of the losses, times the number of tasks.

    .. math::
        T \, \nabla \Bigl( \prod_i L_i \Bigr)^{1/T} = \sum_i \frac{g}{L_i} \nabla L_i, \qquad
        g = \exp \Bigl( \frac1T \sum_i \log L_i \Bigr)

    The mean of logarithms does not underflow, where the product of eight losses of 1e-6 does.

    Args:
        floor: smaller losses count as `floor`; losses must be positive. The default is our choice.

    Invariant to the scale of each loss, up to a common factor; :func:`imtl_l` is the same without g.

    Raises:
        ValueError: a floor that is not positive.

    Chennupati et al., MultiNet++, 2019, https://arxiv.org/abs/1904.08492

    >>> gls()(torch.tensor([1.0, 4.0]))
    tensor([2.0000, 0.5000])
    """
    check(POSITIVE, floor=floor)

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        inverse = 1 / losses.clamp_min(floor)
        in_batch = present(losses)
        mean = losses.clamp_min(floor).log().masked_fill(~in_batch, 0).sum() / in_batch.sum()
        return mean.exp() * inverse

    return Described(weigh, call_text("gls", floor=floor))


def imtl_l(*, floor: float = 1e-8) -> Balance:
    r"""Return impartial multi-task learning on losses: every weighted loss is 1.

    .. math:: w_i = 1 / L_i, \qquad \sum_i w_i \nabla L_i = \nabla \sum_i \log L_i

    The learned scales of the paper, :math:`\min_s e^{s} L - s`, come to rest at the same weights. The balance here has
    neither the inertia of the scales nor parameters to learn.

    Args:
        floor: smaller losses count as `floor`; losses must be positive. The default is our choice.

    Raises:
        ValueError: a floor that is not positive.

    Liu et al., Towards Impartial Multi-Task Learning, 2021, https://openreview.net/forum?id=IMPnRXEWpvr

    >>> imtl_l()(torch.tensor([0.5, 4.0]))
    tensor([2.0000, 0.2500])
    """
    check(POSITIVE, floor=floor)

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return 1 / losses.clamp_min(floor)

    return Described(weigh, call_text("imtl_l", floor=floor))
