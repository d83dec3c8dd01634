"""The plain sum."""

from torch import Tensor

from adapt.engine.description import Described
from adapt.multitask.task_weights import present
from adapt.protocols import Balance


def equal() -> Balance:
    r"""Return the balance with weights of 1: the plain sum of the tasks.

    .. math:: w_i = 1

    The default, and the baseline of every comparison. With losses in comparable units (:func:`adapt.multitask.task`
    divides each loss by a natural scale) and an optimizer that adapts to the gradient, the plain sum is hard to improve
    upon (Kurin et al., 2022, https://arxiv.org/abs/2201.04122; Xin et al., 2022, https://arxiv.org/abs/2209.11379).
    Where tasks compete for capacity, the plain sum cannot reach every trade-off (Hu et al., 2023,
    https://arxiv.org/abs/2308.13985).

    >>> equal()(torch.tensor([3.0, 0.1]))
    tensor([1., 1.])
    """
    return Described(weigh, "equal()")


def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
    return present(losses).to(losses.dtype)
