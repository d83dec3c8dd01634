"""The plain sum."""

from torch import Tensor

from adapt.multitask.task_weights import present
from adapt.protocols import Balance


def equal() -> Balance:
    r"""Weights of one: the plain sum of the tasks.

    .. math:: w_i = 1

    The default, and the baseline that every other method has to beat: with losses in comparable units
    (:func:`adapt.multitask.task` divides each by its natural scale) and an optimizer that adapts to the gradient it is
    hard to improve upon (Kurin et al., 2022, https://arxiv.org/abs/2201.04122; Xin et al., 2022,
    https://arxiv.org/abs/2209.11379). What it cannot do: reach every trade-off where tasks compete for capacity (Hu et
    al., 2023, https://arxiv.org/abs/2308.13985).

    >>> equal()(torch.tensor([3.0, 0.1]))
    tensor([1., 1.])
    """
    return weigh


def weigh(losses: Tensor, gram: Tensor | None = None) -> Tensor:
    return present(losses).to(losses.dtype)
