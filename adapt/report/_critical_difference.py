"""Ranks of methods over tasks, and which ranks cannot be told apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

from losses.options import BETWEEN, check


@dataclass(frozen=True)
class CriticalDifference:
    """The mean ranks of methods over tasks, for a critical-difference diagram.

    Attributes:
        ranks: by method, from the best; 1 is the best rank.
        friedman_p: of Friedman's test that all methods are alike.
        distance: Nemenyi's critical difference: two methods whose ranks are closer are not told apart.
        cliques: the largest groups of two or more methods that are not told apart: the bars of the diagram.
        tasks: number of tasks.
    """

    ranks: dict[str, float]
    friedman_p: float
    distance: float
    cliques: list[list[str]]
    tasks: int


def critical_difference(
    scores: Mapping[str, Sequence[float]], *, higher_is_better: bool = True, level: float = 0.05
) -> CriticalDifference:
    r"""Rank methods on each task, and say which mean ranks differ by more than Nemenyi's critical difference.

    With the mean rank :math:`R_j` of each of k methods over N tasks (ties share their mean rank):

    .. math::
        \chi^2_F = \frac{12 N}{k (k + 1)} \Bigl[\sum_j R_j^2 - \frac{k (k + 1)^2}{4}\Bigr] \Big/
        \Bigl[1 - \frac{\sum (t^3 - t)}{N (k^3 - k)}\Bigr], \qquad
        \text{CD} = \frac{q_\alpha}{\sqrt 2} \sqrt{\frac{k (k + 1)}{6 N}}

    with t methods in a tie, and :math:`q_\alpha` the quantile of the studentized range of k groups.

    Args:
        scores: by method, one score per task, with the same tasks in the same order. Average the seeds of a task first.
        level: of the test. 0.05 as Demšar.

    Raises:
        ValueError: fewer than two methods or two tasks, different numbers of tasks, scores that are not finite.

    Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006,
    https://jmlr.org/papers/v7/demsar06a.html

    >>> found = critical_difference({"a": [0.9, 0.8, 0.7], "b": [0.8, 0.7, 0.6], "c": [0.1, 0.2, 0.3]})
    >>> found.ranks
    {'a': 1.0, 'b': 2.0, 'c': 3.0}
    """
    from scipy.stats import chi2, rankdata, studentized_range

    check(BETWEEN, level=level)
    counts = {method: len(values) for method, values in scores.items()}
    k, N = len(counts), max(counts.values(), default=0)
    if k < 2 or N < 2 or len(set(counts.values())) != 1:
        raise ValueError(
            "`scores` must hold two or more methods with a score for each of the same two or more tasks, got "
            f"{counts} scores."
        )
    values = numpy.array([list(v) for v in scores.values()], float).T  # (tasks, methods)
    if not numpy.isfinite(values).all():
        raise ValueError("`scores` must be finite, got NaN or infinity: leave out the tasks of a failed method.")
    ranks = rankdata(-values if higher_is_better else values, axis=1)
    mean = ranks.mean(0)
    ties = sum((t**3 - t).sum() for t in (numpy.unique(row, return_counts=True)[1] for row in ranks))
    spread = 12 * N / (k * (k + 1)) * ((mean**2).sum() - k * (k + 1) ** 2 / 4)
    shared = 1 - ties / (N * (k**3 - k))
    distance = float(studentized_range.ppf(1 - level, k, math.inf) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * N)))
    order = numpy.argsort(mean, kind="stable")
    names = [list(scores)[i] for i in order]
    return CriticalDifference(
        {name: float(mean[i]) for name, i in zip(names, order, strict=True)},
        float(chi2.sf(spread / shared, k - 1)) if shared > 0 else 1.0,
        distance,
        cliques(names, mean[order], distance),
        N,
    )


def cliques(names: Sequence[str], ranks: numpy.ndarray, distance: float) -> list[list[str]]:
    """The longest runs of sorted methods whose first and last rank are closer than the distance."""
    found: list[list[str]] = []
    last = 0
    for first in range(len(ranks)):
        end = int(numpy.searchsorted(ranks, ranks[first] + distance))
        if end > max(last, first + 1):
            found.append(list(names[first:end]))
            last = end
    return found
