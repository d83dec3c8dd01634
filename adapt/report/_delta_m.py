"""Several tasks in one number."""

from collections.abc import Sequence

import numpy


def delta_m(
    scores: Sequence[float], single: Sequence[float], *, higher_is_better: bool | Sequence[bool] = False
) -> float:
    r"""Return the mean relative improvement of several tasks over single-task models.

    .. math:: \Delta_m = \frac1T \sum_t (-1)^{l_t} \, \frac{M_t - S_t}{|S_t|}

    with :math:`l_t = 1` where lower is better. A positive value is better than the single-task models, in either case.

    Args:
        scores: M, one number per task.
        single: S, one number per task from a model of the task alone; not zero.
        higher_is_better: for all tasks, or for each task.

    Raises:
        ValueError: different numbers of tasks, or a single-task score of zero.

    Maninis, Radosavovic, Kokkinos, Attentive Single-Tasking of Multiple Tasks, 2019, https://arxiv.org/abs/1904.08918

    >>> delta_m([0.5, 2.0], [1.0, 2.0])
    0.25
    """
    M, S = numpy.asarray(scores, float), numpy.asarray(single, float)
    if M.shape != S.shape or M.ndim != 1 or len(M) == 0 or (S == 0).any():
        raise ValueError(
            "`scores` and `single` must hold one number per task, `single` without a zero, "
            f"got shapes {M.shape} and {S.shape}: give the scores of the same tasks in the same order."
        )
    sign = numpy.where(numpy.broadcast_to(higher_is_better, M.shape), 1.0, -1.0)
    return float((sign * (M - S) / numpy.abs(S)).mean())
