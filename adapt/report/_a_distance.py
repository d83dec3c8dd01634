"""The proxy A-distance of two clouds, with an interval."""

import numpy

from adapt.heads.score import wilson
from adapt.report.interval import Interval

FOLDS = 5
PENALTIES = numpy.logspace(-3, 2, 6)  # of rows with squared norm near 1


def a_distance(x: numpy.ndarray, y: numpy.ndarray, seed: int) -> Interval:
    """Return the A-distance of equally many rows: the formulas are in :func:`adapt.report.discrepancy`.

    Args:
        x: ``(k, d)`` rows of the source.
        y: ``(k, d)`` rows of the target.
        seed: of the folds.
    """
    k, rows = len(x), numpy.concatenate([x, y])
    domain = numpy.repeat([-1.0, 1.0], k)
    draw = numpy.random.default_rng(seed)
    fold = numpy.concatenate([draw.permutation(k) % FOLDS for _ in range(2)])
    right = numpy.empty(2 * k, bool)
    for held in range(min(FOLDS, k)):
        away = fold == held
        right[away] = ridge(rows[~away], domain[~away], rows[away]) * domain[away] > 0
    accuracy = float(right.mean())
    # neighbouring rows judge each other: the variance of the count is up to twice the binomial variance
    return Interval(*(float(numpy.clip(4 * a - 2, 0, 2)) for a in (accuracy, *wilson(accuracy, k))))


def ridge(x: numpy.ndarray, y: numpy.ndarray, new: numpy.ndarray) -> numpy.ndarray:
    """Return the predictions of ridge regression for `new` rows; the penalty has the least leave-one-out error.

    Features are standardised by `x` and divided by the root of their number. `y` has mean 0.
    """
    middle, scale = x.mean(0), x.std(0)
    scale = numpy.where(scale > 1e-9 * (1 + abs(middle)), scale, 1) * numpy.sqrt(x.shape[1])
    x, new = (x - middle) / scale, (new - middle) / scale
    wide = x.shape[0] <= x.shape[1]
    curvature, axes = numpy.linalg.eigh(x @ x.T if wide else x.T @ x)
    curvature = curvature.clip(0)
    onto = axes if wide else x @ axes  # the fit is onto @ (factor * onto.T @ y)
    found = []
    for penalty in PENALTIES:
        factor = (curvature if wide else 1) / (curvature + penalty)
        fit, leverage = onto @ (factor * (onto.T @ y)), (onto**2) @ factor + 1 / len(y)
        found.append((float(numpy.mean(((y - fit) / (1 - leverage).clip(1e-6)) ** 2)), penalty))
    chosen = axes @ ((onto.T @ y) / (curvature + min(found)[1]))
    return new @ (x.T @ chosen if wide else chosen)
