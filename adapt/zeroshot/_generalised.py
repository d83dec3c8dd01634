"""The scores of the generalised case: seen classes, unseen classes, and the harmonic mean."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy

from adapt.heads import Score
from adapt.heads.score import Z


class Generalised(NamedTuple):
    """The mean accuracy of the seen classes, of the unseen classes, and the harmonic mean, with 95 % intervals."""

    seen: Score
    unseen: Score
    harmonic: Score

    def __str__(self) -> str:
        return "\n".join(f"{name:8}  {score}" for name, score in self._asdict().items())


def generalised(predicted: Any, labels: Any, seen: Collection[Any]) -> Generalised:
    r"""Return the scores of predictions among seen and unseen classes.

    .. math:: H = \frac{2 \, a_s a_u}{a_s + a_u}

    with the means :math:`a_s` and :math:`a_u` of the accuracies of the classes of each kind.

    Args:
        predicted: ``(n,)`` names or numbers, as ``model.predict`` gives.
        labels: ``(n,)`` right names or numbers.
        seen: the names or numbers of the classes with labelled rows; all other labels are unseen classes.

    Returns:
        :class:`Generalised`. The intervals are normal, over rows, with the classes fixed; the interval of H follows by
        the delta method. H is 0 where both accuracies are 0.

    Raises:
        ValueError: unequal numbers of rows, no row of a seen class, no row of an unseen class.

    Xian et al., Zero-Shot Learning: A Comprehensive Evaluation of the Good, the Bad and the Ugly, 2019,
    https://arxiv.org/abs/1707.00600

    >>> print(generalised(["cat", "dog", "cat"], ["cat", "dog", "owl"], seen=["cat", "dog"]).harmonic.value)
    0.0
    """
    p, y = numpy.asarray(predicted), numpy.asarray(labels)
    if p.ndim != 1 or p.shape != y.shape:
        raise ValueError(f"`predicted` and `labels` must be (n,) and have one entry each, got {p.shape} and {y.shape}.")
    known = {str(name) for name in seen}
    accuracy, spread, rows = [0.0, 0.0], [0.0, 0.0], [0, 0]
    kinds: tuple[list[Any], list[Any]] = [label for label in numpy.unique(y) if str(label) in known], []
    kinds[1].extend(label for label in numpy.unique(y) if str(label) not in known)
    for kind, own in enumerate(kinds):
        if len(own) == 0:
            name = ("a seen class", "an unseen class")[kind]
            raise ValueError(f"`labels` must have rows of seen and of unseen classes, and no row is of {name}.")
        for label in own:
            hits = p[y == label] == label
            share, n = hits.mean(), len(hits)
            accuracy[kind] += share / len(own)
            spread[kind] += share * (1 - share) / n / len(own) ** 2
            rows[kind] += n
    s, u = accuracy
    total = max(s + u, 1e-12)
    slopes = 2 * u**2 / total**2, 2 * s**2 / total**2
    variance = slopes[0] ** 2 * spread[0] + slopes[1] ** 2 * spread[1]
    return Generalised(
        _score("accuracy of seen classes", s, spread[0], rows[0]),
        _score("accuracy of unseen classes", u, spread[1], rows[1]),
        _score("harmonic mean", 2 * s * u / total, variance, sum(rows)),
    )


def _score(metric: str, value: float, variance: float, n: int) -> Score:
    half = Z * math.sqrt(variance)
    return Score(metric, float(value), max(0.0, float(value - half)), min(1.0, float(value + half)), n)
