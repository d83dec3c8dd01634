"""The sum of logarithms, under the names it was published with."""

from torch import Tensor

from adapt.multitask.task_weights import present
from adapt.protocols import Balance


def gls(*, floor: float = 1e-8) -> Balance:
    r"""Geometric loss strategy: the gradient of the geometric mean of the losses, times the number of tasks.

    .. math:: T \, \nabla \Bigl( \prod_i L_i \Bigr)^{1/T} = \sum_i \frac{g}{L_i} \nabla L_i, \qquad g = \exp \Bigl( \frac1T \sum_i \log L_i \Bigr)

    The mean of logarithms does not underflow, where the product of eight losses of 1e-6 does.

    Args:
        floor: losses below it count as it; losses must be positive. Ours.

    Invariant to the scale of each loss, up to a common factor; :func:`imtl_l` is the same without g.

    Chennupati et al., MultiNet++, 2019, https://arxiv.org/abs/1904.08492

    >>> gls()(torch.tensor([1.0, 4.0]))
    tensor([2.0000, 0.5000])
    """

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        inverse = imtl_l(floor=floor)(losses)
        there = present(losses)
        mean = losses.clamp_min(floor).log().masked_fill(~there, 0).sum() / there.sum()
        return mean.exp() * inverse

    return weigh


def imtl_l(*, floor: float = 1e-8) -> Balance:
    r"""Impartial multi-task learning on losses: every weighted loss is 1.

    .. math:: w_i = 1 / L_i, \qquad \sum_i w_i \nabla L_i = \nabla \sum_i \log L_i

    This is where the paper's learned scales :math:`\min_s e^{s} L - s` come to rest; without their inertia, and without
    parameters to learn.

    Args:
        floor: losses below it count as it; losses must be positive. Ours.

    Liu et al., Towards Impartial Multi-Task Learning, 2021, https://openreview.net/forum?id=IMPnRXEWpvr

    >>> imtl_l()(torch.tensor([0.5, 4.0]))
    tensor([2.0000, 0.2500])
    """

    def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
        return 1 / losses.clamp_min(floor)

    return weigh
