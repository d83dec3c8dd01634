"""How well a number tells two kinds of rows apart: the ROC, its area, and a threshold for a wanted recall."""

from dataclasses import dataclass
from typing import Any

import numpy

from adapt.heads.score import Score, wilson
from adapt.randomness import keyed_seed
from losses.options import ABOVE_0, COUNT, FROM_0, check


@dataclass(frozen=True, eq=False)
class Separation:
    """Rows are called positive where the number of the row is at least a threshold.

    Attributes:
        auc: the area under the ROC: the probability that a positive row has a larger number than a negative row, equal
            numbers counted by half.
        thresholds: ``(k,)`` from large to small; the first calls no row positive.
        false_alarms: ``(k,)`` share of the negative rows that are called positive.
        recalls: ``(k,)`` share of the positive rows that are called positive.
        positives, negatives: numbers of rows.
    """

    auc: Score
    thresholds: numpy.ndarray
    false_alarms: numpy.ndarray
    recalls: numpy.ndarray
    positives: int
    negatives: int

    def threshold(self, recall: float) -> float:
        """Return the largest threshold with at least a wanted recall on these rows.

        Raises:
            ValueError: a recall outside of (0, 1].
        """
        return float(self.thresholds[self._place(recall)])

    def false_alarm(self, recall: float) -> float:
        """Return the share of false alarms on these rows at :meth:`threshold`.

        Raises:
            ValueError: a recall outside of (0, 1].
        """
        return float(self.false_alarms[self._place(recall)])

    def _place(self, recall: float) -> int:
        check(ABOVE_0, recall=recall)
        return int(numpy.searchsorted(self.recalls, recall * (1 - 1e-12)))


def separation(scores: Any, labels: Any, *, groups: Any = None, resamples: int = 1000, seed: int = 0) -> Separation:
    r"""Return how well a number per row tells positive rows from negative rows.

    .. math:: \mathrm{AUC} = \frac{1}{|P| |N|} \sum_{i \in P} \sum_{j \in N} \bigl( \mathbb 1[s_i > s_j] +
        \tfrac12 \mathbb 1[s_i = s_j] \bigr)

    Args:
        scores: ``(n,)`` numbers, larger for positive rows: similarities of pairs, probabilities of a class.
        labels: ``(n,)``: 1 or True positive, 0 or False negative.
        groups: ``(n,)``, the group of each row, any values that can be compared, where rows depend on each other: pairs
            that share a sentence (:func:`adapt.datasets.linked`), rows of one person. None: each row is a group.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    The interval of the area has the 95 % percentiles of a bootstrap over groups: a resample draws whole groups with
    replacement. ``auc.n`` is the number of groups. Where all resamples agree, as without any error, the interval is
    Wilson's, of as many rows as groups. Time: one pass over the rows for each resample.

    Take the threshold from rows outside of the test, and count false alarms and recall on the test.

    Raises:
        ValueError: scores that are not finite, other labels, no positive or no negative row, unequal numbers of rows.

    Related: :func:`adapt.fewshot.verify`, where rows have identities and pairs have none.

    Fawcett, An Introduction to ROC Analysis, 2006, https://doi.org/10.1016/j.patrec.2005.10.010; Field, Welsh,
    Bootstrapping Clustered Data, 2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x

    >>> found = separation([0.9, 0.8, 0.4, 0.3], [1, 0, 1, 0])
    >>> found.auc.value, found.threshold(0.95), found.false_alarm(0.95)
    (0.75, 0.4, 0.5)
    """
    check(COUNT, resamples=resamples)
    check(FROM_0, seed=seed)
    s, y = numpy.asarray(scores, dtype=numpy.float64), numpy.asarray(labels)
    if s.ndim != 1 or not len(s) or not numpy.isfinite(s).all():
        raise ValueError(f"`scores` must be (n,) finite numbers with n >= 1, got shape {s.shape}.")
    if y.shape != s.shape or not numpy.isin(y, (0, 1)).all():
        raise ValueError(f"`labels` must be 0 or 1 for each of {len(s)} rows, got shape {y.shape}.")
    names = numpy.arange(len(s)) if groups is None else numpy.asarray(groups)
    if names.shape != s.shape:
        raise ValueError(f"`groups` must be one for each of {len(s)} rows, got shape {names.shape}.")
    order = numpy.argsort(-s, kind="stable")
    s, y = s[order], y[order].astype(bool)
    distinct, group = numpy.unique(names[order], return_inverse=True)
    if y.all() or not y.any():
        raise ValueError(f"`labels` must have positive and negative rows, got {y.sum()} and {(~y).sum()}.")
    ends = numpy.append(numpy.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # equal scores are one point
    false_alarms, recalls = _rates(numpy.ones(len(s)), y, ends)
    drawn, generator, count = [], numpy.random.default_rng(keyed_seed(seed, "separation")), len(distinct)
    for _ in range(resamples):
        times = numpy.bincount(generator.integers(count, size=count), minlength=count)[group].astype(float)
        if times[y].any() and times[~y].any():
            drawn.append(_area(*_rates(times, y, ends)))
    value = _area(false_alarms, recalls)
    low, high = numpy.quantile(drawn, [0.025, 0.975]) if drawn else (value, value)
    if low == high:
        low, high = wilson(value, count)
    auc = Score("ROC AUC", value, min(float(low), value), max(float(high), value), count)
    thresholds = numpy.append(numpy.nextafter(s[0], numpy.inf), s[ends])
    return Separation(auc, thresholds, false_alarms, recalls, int(y.sum()), int((~y).sum()))


def _rates(weights: numpy.ndarray, y: numpy.ndarray, ends: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return false alarms and recalls ``(k + 1,)`` of weighted rows, from the largest score down."""
    sums = [numpy.where(kind, weights, 0).cumsum() for kind in (~y, y)]
    false_alarms, recalls = (numpy.append(0, total[ends] / total[-1]) for total in sums)
    return false_alarms, recalls


def _area(false_alarms: numpy.ndarray, recalls: numpy.ndarray) -> float:
    return float(numpy.trapezoid(recalls, false_alarms))
