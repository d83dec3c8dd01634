"""Splits of rows with times: learn from the past, test on the future."""

from datetime import timedelta
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.datasets.times import read_times
from losses.options import COUNT, check


def walk_forward(
    times: Any,
    folds: int = 5,
    *,
    horizon: float | timedelta = 0,
    embargo: float | timedelta = 0,
    window: float | timedelta | None = None,
) -> list[tuple[Tensor, Tensor]]:
    r"""Split rows by time into folds: each fold learns from rows of the past and is tested on the rows that follow.

    The distinct times are cut into `folds` + 1 blocks of nearly equal numbers of times. Block k is the test of fold k,
    with the first time :math:`s_k`; the first block is never a test. Row i learns for fold k where its label is known
    before the test starts:

    .. math:: t_i + \text{horizon} + \text{embargo} \le s_k, \qquad t_i < s_k, \qquad t_i \ge s_k - \text{window}

    Rows with equal times, such as the stocks of one day, are always on one side.

    Args:
        times: ``(n,)``, the time at which the row is predicted: numbers, or dates. Any order of the rows.
        folds: the number of tests.
        horizon: the time from the prediction to the label: 5 days for the volatility of the next five days. A number
            in the unit of `times`; a ``timedelta`` where the times are dates.
        embargo: a further gap between the last label that is learned and the test, for series with a long memory.
        window: how far the learning reaches back; None reaches to the first row.

    Returns:
        For each fold the numbers of the rows to learn from and of the rows to test, ascending: the form of
        ``cv`` in scikit-learn.

    Raises:
        TypeError: times that are neither numbers nor dates; a duration of another kind than the times.
        ValueError: missing times; more folds than the distinct times allow; a fold without rows to learn from.

    López de Prado, Advances in Financial Machine Learning, 2018, chapter 7: purging and embargo.

    >>> [(train.tolist(), test.tolist()) for train, test in walk_forward([0, 1, 2, 3, 4, 5], 2, horizon=2)]
    [([0], [2, 3]), ([0, 1, 2], [4, 5])]
    """
    check(COUNT, folds=folds)
    t, unit = read_times(times, len(times))
    gap, back = unit(horizon=horizon) + unit(embargo=embargo), None if window is None else unit(window=window)
    if back == 0:
        raise ValueError(f"`window` must be above 0, got {window!r}: None reaches to the first row.")
    moments = numpy.unique(t)
    if len(moments) < folds + 1:
        raise ValueError(
            f"`folds` must be fewer than the distinct times, got {folds} folds and {len(moments)} times: take fewer "
            "folds."
        )
    found = []
    for number, block in enumerate(numpy.array_split(moments, folds + 1)[1:], start=1):
        start, end = block[0], block[-1]
        learns = (t < start) & (t + gap <= start)
        if back is not None:
            learns &= t >= start - back
        if not learns.any():
            raise ValueError(
                f"fold {number} of {folds} has no row to learn from: `horizon`, `embargo` and `window` leave none of "
                f"the {int((t < start).sum())} rows before its test. Take fewer folds, or shorter durations."
            )
        tests = (t >= start) & (t <= end)
        found.append((torch.from_numpy(learns.nonzero()[0]), torch.from_numpy(tests.nonzero()[0])))
    return found
