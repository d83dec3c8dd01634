"""How many clusters: the largest number whose clusters another half of the rows finds again."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from adapt.randomness import permutation
from adapt.unsupervised.rows import feature_rows
from losses.options import BETWEEN, COUNT, FROM_0, check, each, whole


class NumberOfClusters(NamedTuple):
    """An estimated number of clusters.

    Attributes:
        value: the estimate; 1 where no number is strong.
        interval: the smallest and largest number in 95 % of bootstrap samples of the splits.
        strength: the mean prediction strength for each number.
    """

    value: int
    interval: tuple[int, int]
    strength: Mapping[int, float]

    def __str__(self) -> str:
        return f"{self.value} clusters (95 % interval {self.interval[0]} to {self.interval[1]})"


def number_of_clusters(
    features: Any,
    candidates: Sequence[int] = range(2, 11),
    *,
    threshold: float = 0.8,
    splits: int = 20,
    resamples: int = 1000,
    starts: int = 5,
    seed: int = 0,
) -> NumberOfClusters:
    r"""Estimate the number of clusters of k-means by prediction strength, with an interval.

    The rows are split in two halves, and k-means finds k clusters :math:`A_1, \dots, A_k` in each half. The centres of
    the first half then assign the rows of the second half:

    .. math:: \mathrm{ps}(k) = \min_j \frac{1}{|A_j| (|A_j| - 1)} \sum_{i \ne i' \in A_j}
        [\text{the centres of the first half put } i \text{ and } i' \text{ together}]

    The estimate is the largest k whose mean over `splits` plus its standard error reaches `threshold`.

    Args:
        features: ``(n, d)``, at least four rows.
        candidates: numbers of at least 2. Numbers above half of the rows are left out.
        threshold: 0.8 to 0.9 in the paper.
        splits: random halves, each in both directions.
        resamples: bootstrap samples of the splits, for the interval.
        starts: runs of k-means for each half.
        seed: of the splits and starts.

    Returns:
        :class:`NumberOfClusters`. The interval shows the spread over splits of these rows, not over other rows.

    Raises:
        ValueError: shapes, numbers that are not finite, an option with a wrong value.

    A hierarchy of clusters has several strong numbers, and the largest is taken. Clusters that are not round, or of
    very unequal size, are missed.

    Tibshirani and Walther, Cluster Validation by Prediction Strength, 2005, https://doi.org/10.1198/106186005X59243

    >>> from itertools import product
    >>> rows = [[x + dx / 50, dy / 50] for x in (0, 5, 10) for dx, dy in product(range(3), range(3))]
    >>> number_of_clusters(rows, range(2, 5), splits=4).value
    3
    """
    check(each(whole(2)), candidates=candidates)
    check(BETWEEN, threshold=threshold)
    check(COUNT, splits=splits, resamples=resamples, starts=starts)
    check(FROM_0, seed=seed)
    x = feature_rows(features, least=4)
    numbers = sorted({int(k) for k in candidates if k <= len(x) // 2})
    if not numbers:
        raise ValueError(f"`candidates` must have a number of at most half of the {len(x)} rows, got {candidates}.")
    found = numpy.array([_strengths(x, numbers, split, int(starts), int(seed)) for split in range(splits)])
    generator = numpy.random.default_rng(int(seed))
    drawn = generator.integers(splits, size=(resamples, splits))
    values = [_largest(found[index], numbers, threshold) for index in drawn]
    low, high = numpy.quantile(values, [0.025, 0.975], method="inverted_cdf")
    strength = dict(zip(numbers, found.mean(0).tolist(), strict=True))
    return NumberOfClusters(_largest(found, numbers, threshold), (int(low), int(high)), strength)


def _largest(found: numpy.ndarray, numbers: Sequence[int], threshold: float) -> int:
    error = found.std(0, ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0
    strong = found.mean(0) + error >= threshold
    return max((k for k, enough in zip(numbers, strong, strict=True) if enough), default=1)


def _strengths(x: numpy.ndarray, numbers: Sequence[int], split: int, starts: int, seed: int) -> list[float]:
    """Return the strength of each number for one split, the mean of both directions."""
    from sklearn.cluster import KMeans

    halves = numpy.array_split(permutation(len(x), seed, "halves", split).numpy(), 2)
    found = []
    for k in numbers:
        made = [KMeans(k, n_init=starts, random_state=seed).fit(x[half]) for half in halves]
        pairs = [(made[0], made[1], halves[1]), (made[1], made[0], halves[0])]
        found.append(float(numpy.mean([_strength(own.labels_, other.predict(x[half])) for other, own, half in pairs])))
    return found


def _strength(own: numpy.ndarray, other: numpy.ndarray) -> float:
    """Return the share of pairs together under `other` in the worst cluster of `own`; a single row has no pair."""
    shares = []
    for c in numpy.unique(own):
        sizes = numpy.bincount(other[own == c])
        n = sizes.sum()
        shares.append(1.0 if n < 2 else float((sizes * (sizes - 1)).sum() / (n * (n - 1))))
    return min(shares)
