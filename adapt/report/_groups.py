"""Whom a transfer helped and whom it harmed: groups of rows, and the gaps between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from adapt.heads.score import Z, wilson
from adapt.report._extremes import largest_gap, lowest
from adapt.report._significance import LEVEL, holm
from adapt.report.interval import Interval
from losses.options import FROM_0, check

FEWEST = 10  # rows, or positive and negative rows, below which nothing is said of a group


@dataclass(frozen=True)
class Group:
    """The rows of one group, or of one class.

    Attributes:
        score: accuracy, with Wilson's interval.
        before: accuracy of the other predictions; None without them.
        change: score minus before, with the interval of the paired difference; None without `before`.
        p, adjusted: of McNemar's exact test, and after Holm's correction over the groups that are not too small.
        verdict: ``"helped"``, ``"harmed"``, ``"undecided"`` or ``"too small"``; None without `before`.
        too_small: fewer than 10 rows.
    """

    name: Any
    n: int
    score: Interval
    before: float | None = None
    change: Interval | None = None
    p: float = 1.0
    adjusted: float = 1.0
    verdict: str | None = None
    too_small: bool = False


@dataclass(frozen=True)
class Groups:
    """The groups of a kind, such as women and men, and how far apart they are.

    Attributes:
        rows: one per group.
        worst: the name of the group with the lowest score, of the groups that are not too small.
        worst_score: its score. The lowest of several noisy scores is too low on average; the interval is not.
        gap: largest minus smallest score. The value is too large on average; the interval is not.
        equalized_odds: the equalized-odds difference; None for more than two classes without `positive`.
        left_out: names of the groups that are too small for the worst group and the gap.
        odds_left_out: names of the groups with too few positive or negative rows for the equalized odds.
    """

    rows: list[Group]
    worst: Any
    worst_score: Interval | None
    gap: Interval | None
    equalized_odds: Interval | None
    left_out: list
    odds_left_out: list


def groups(
    predictions: Sequence[Any] | numpy.ndarray,
    labels: Sequence[Any] | numpy.ndarray,
    groups: Sequence[Any] | numpy.ndarray,
    *,
    before: Sequence[Any] | numpy.ndarray | None = None,
    positive: Any = None,
    seed: int = 0,
) -> Groups:
    r"""Score each group of rows, the worst group and the gaps; with `before`, say whom the change helped or harmed.

    With the accuracy :math:`a_k` of group k, and its true and false positive rates:

    .. math::
        \text{worst} = \min_k a_k, \qquad \text{gap} = \max_k a_k - \min_k a_k, \\
        \text{equalized-odds difference} = \max\bigl(\max_k \text{TPR}_k - \min_k \text{TPR}_k,\;
        \max_k \text{FPR}_k - \min_k \text{FPR}_k\bigr)

    as fairlearn has it. A maximum of noisy differences is above 0 without any true gap, and no plain bootstrap gives an
    interval with the right coverage there. The intervals here are the gaps that the data do not refuse, by
    simulated rows (:func:`adapt.report._inversion.inverted`). With many small groups the interval can lie below the
    value.

    The change of a group counts the rows that became right, b, and that became wrong, c, of n. The verdict is McNemar's
    exact test with Holm's correction over the groups. The interval adds one row to each count (Bonett and Price):

    .. math:: \frac{b - c}{n}, \qquad \tilde b = \frac{b + 1}{n + 2}, \; \tilde c = \frac{c + 1}{n + 2}, \qquad
        \tilde b - \tilde c \pm 1.96 \sqrt{\frac{\tilde b + \tilde c - (\tilde b - \tilde c)^2}{n + 2}}

    The rows are the sample here, of one trained model. For a verdict over seeds, give the scores of each group to
    :func:`adapt.report.compare`, with the groups as tasks.

    A group with fewer than 10 rows is too small: no verdict, and no part in the worst group and the gap. A group with
    fewer than 10 positive or 10 negative rows has no part in the equalized odds.

    Args:
        predictions, labels, before: ``(n,)`` classes. Rows with the label -1 do not count.
        groups: ``(n,)`` names.
        before: predictions of the other model for the same rows, such as the model without transfer.
        positive: the class that is the positive outcome; None takes the larger of two classes.
        seed: of the simulated rows.

    Raises:
        ValueError: different numbers of rows, no labelled row, a `positive` that is no label.

    Hardt, Price, Srebro, Equality of Opportunity in Supervised Learning, 2016, https://arxiv.org/abs/1610.02413; Bonett
    and Price, Adjusted Wald confidence interval for a difference of binomial proportions based on paired data, 2012,
    https://doi.org/10.3102/1076998611411915

    >>> found = groups([1, 1, 0, 0] * 10, [1, 0, 0, 0] * 10, ["a", "a", "b", "b"] * 10)
    >>> found.worst, found.gap.value
    ('a', 0.5)
    """
    check(FROM_0, seed=seed)
    p, y, g, b = same_rows(predictions, labels, groups, before)
    hits = p == y
    rows = changes(hits, g, None if b is None else b == y)
    judged = [r for r in rows if not r.too_small]
    worst, worst_score, gap = None, None, None
    if judged:
        right = numpy.array([round(r.score.value * r.n) for r in judged])
        counts = numpy.array([r.n for r in judged])
        worst, worst_score = judged[int((right / counts).argmin())].name, lowest(right, counts, seed)
        gap = largest_gap(right[None], counts[None], seed) if len(judged) > 1 else None
    odds, without = equalized_odds(p, y, g, positive, seed)
    return Groups(rows, worst, worst_score, gap, odds, [r.name for r in rows if r.too_small], without)


def per_class(
    predictions: Sequence[Any] | numpy.ndarray,
    labels: Sequence[Any] | numpy.ndarray,
    before: Sequence[Any] | numpy.ndarray,
    names: Sequence[Any] | None = None,
) -> list[Group]:
    """Return the recall of each class after and before, with the change and the verdict of :func:`groups`.

    The groups are the rows of each true class, and Holm's correction counts the classes.

    Args:
        predictions, labels, before: ``(n,)`` classes. Rows with the label -1 do not count.
        names: of the classes, where the classes are numbers; None keeps the numbers.

    Raises:
        ValueError: different numbers of rows, no labelled row.

    >>> [row.verdict for row in per_class([0] * 20 + [0] * 20, [0] * 20 + [1] * 20, [0] * 20 + [1] * 20)]
    ['undecided', 'harmed']
    """
    p, y, _, b = same_rows(predictions, labels, labels, before)
    rows = changes(p == y, y, b == y)
    return rows if names is None else [replace(r, name=names[int(r.name)]) for r in rows]


def same_rows(predictions: Any, labels: Any, groups: Any, before: Any) -> list:
    """The labelled rows as arrays, after the checks of the door."""
    given = [None if v is None else numpy.asarray(v) for v in (predictions, labels, groups, before)]
    sizes = [v.shape for v in given if v is not None]
    if len(set(sizes)) != 1 or len(sizes[0]) != 1:
        raise ValueError(
            "`predictions`, `labels`, `groups` and `before` must have one entry for each row, got shapes "
            f"{', '.join(map(str, sizes))}: take the predicted class of each row, not its logits."
        )
    kept = numpy.asarray(given[1] != -1)
    if not kept.any():
        raise ValueError("`labels` must hold at least one label that is not missing (-1), got none.")
    return [None if v is None else v[kept] for v in given]


def changes(hits: numpy.ndarray, of: numpy.ndarray, before: numpy.ndarray | None) -> list[Group]:
    """One row per group, with the change and the verdict where there is something before."""
    rows = []
    for name in numpy.unique(of):
        now = hits[of == name]
        then = None if before is None else before[of == name]
        share = float(now.mean())
        score = Interval(share, *wilson(share, len(now)))
        row = Group(name.item(), len(now), score, too_small=len(now) < FEWEST)
        rows.append(row if then is None else changed(row, now, then))
    if before is None:
        return rows
    adjusted = iter(holm([r.p for r in rows if not r.too_small]))
    return [replace(r, verdict="too small") if r.too_small else judged(r, next(adjusted)) for r in rows]


def changed(row: Group, now: numpy.ndarray, then: numpy.ndarray) -> Group:
    from scipy.stats import binomtest

    n, b, c = row.n, int((now & ~then).sum()), int((~now & then).sum())
    up, down = (b + 1) / (n + 2), (c + 1) / (n + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    change = Interval((b - c) / n, max(-1.0, up - down - half), min(1.0, up - down + half))
    return replace(row, before=float(then.mean()), change=change, p=float(binomtest(b, b + c).pvalue) if b + c else 1.0)


def judged(row: Group, adjusted: float) -> Group:
    decided = adjusted <= LEVEL
    verdict = ("helped" if row.change and row.change.value > 0 else "harmed") if decided else "undecided"
    return replace(row, adjusted=adjusted, verdict=verdict)


def equalized_odds(
    p: numpy.ndarray, y: numpy.ndarray, g: numpy.ndarray, positive: Any, seed: int
) -> tuple[Interval | None, list]:
    """The equalized-odds difference, None where undefined, and the groups with too few rows for one."""
    classes = numpy.unique(y)
    if positive is None and len(classes) != 2:
        return None, []
    if positive is not None and positive not in classes:
        raise ValueError(f"`positive` must be one of the labels {', '.join(map(str, classes))}, got {positive!r}.")
    positive = classes[1] if positive is None else positive
    names, of = numpy.unique(g, return_inverse=True)
    counts = numpy.stack([numpy.bincount(of[y == positive], minlength=len(names)),
                          numpy.bincount(of[y != positive], minlength=len(names))])  # fmt: skip
    said = p == positive
    hits = numpy.stack([numpy.bincount(of[said & (y == positive)], minlength=len(names)),
                        numpy.bincount(of[said & (y != positive)], minlength=len(names))])  # fmt: skip
    enough = (counts >= FEWEST).all(0)
    without = [name.item() for name in names[~enough]]
    return (largest_gap(hits[:, enough], counts[:, enough], seed) if enough.sum() > 1 else None), without
