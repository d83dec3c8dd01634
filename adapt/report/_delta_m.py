"""Several tasks in one number."""

from collections.abc import Sequence

import numpy


def delta_m(
    scores: Sequence[float], single: Sequence[float], *, higher_is_better: bool | Sequence[bool] = False
) -> float:
    r"""The mean relative improvement of tasks over what each reaches alone.

    .. math:: \Delta_m = \frac1T \sum_t (-1)^{l_t} \, \frac{M_t - S_t}{|S_t|}

    with :math:`l_t = 1` where lower is better. Positive is better than alone, in either case.

    Args:
        scores: M, one number a task.
        single: S, of models that each learn one task; not zero.
        higher_is_better: of all tasks, or of each.

    Raises:
        ValueError: different numbers of tasks, or a single-task score of zero.

    Maninis, Radosavovic, Kokkinos, Attentive Single-Tasking of Multiple Tasks, 2019, https://arxiv.org/abs/1904.08918

    >>> delta_m([0.5, 2.0], [1.0, 2.0])
    0.25
    """
    M, S = numpy.asarray(scores, float), numpy.asarray(single, float)
    if M.shape != S.shape or M.ndim != 1 or len(M) == 0 or (S == 0).any():
        raise ValueError(
            f"`scores` and `single` must hold one number a task, the latter not zero, got shapes {M.shape} and {S.shape}."
        )
    sign = numpy.where(numpy.broadcast_to(higher_is_better, M.shape), 1.0, -1.0)
    return float((sign * (M - S) / numpy.abs(S)).mean())
