"""Same or not: how well the similarity of two rows tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
import torch
from torch import Tensor

from adapt.datasets.labels import to_labels
from adapt.fewshot.pool import as_numbers, finite_rows
from adapt.heads.score import Score, wilson
from adapt.randomness import keyed_seed
from losses.checks import at_least_float32, check_real
from losses.fine_tuning.norm import unit
from losses.options import ABOVE_0, COUNT, FROM_0, check, each

Metric = Literal["cosine", "squared_euclidean"]
USUAL_RATES = (0.1, 0.01, 0.001)


def similarity(first: Tensor, second: Tensor, *, metric: Metric = "cosine") -> Tensor:
    r"""Return the similarity of rows, ``(...)`` for ``(..., d)`` rows: the cosine, or minus the squared distance.

    >>> similarity(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    tensor(1.)
    """
    if metric not in ("cosine", "squared_euclidean"):
        raise ValueError(f'`metric` must be "cosine" or "squared_euclidean", got {metric!r}.')
    check_real("first", first)
    check_real("second", second)
    first, second = at_least_float32(first), at_least_float32(second)
    if first.shape[-1:] != second.shape[-1:]:
        raise ValueError(
            f"`first` and `second` must have the same feature size, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}: take features of one encoder."
        )
    if metric == "cosine":
        return (unit(first, -1) * unit(second, -1)).sum(-1)
    return -(first - second).square().sum(-1)


@dataclass(frozen=True)
class Verification:
    """How well the similarity of two rows says whether the rows are of the same identity.

    Attributes:
        thresholds: ``(k,)`` from large to small; a pair is accepted where the similarity is at least the threshold.
        far: ``(k,)`` false accept rate of each threshold: the share of accepted pairs among different identities.
        tar: ``(k,)`` true accept rate: the share of accepted pairs among pairs of one identity. `far` and `tar` are the
            ROC.
        equal_error_rate: where the false accept rate and the false reject rate, 1 - TAR, are equal, with straight lines
            between the points of the ROC.
        tar_at: by false accept rate, the largest true accept rate with at most this false accept rate.
        same: number of pairs of one identity.
        different: number of pairs of two identities.
        metric: of the similarity.
    """

    thresholds: numpy.ndarray
    far: numpy.ndarray
    tar: numpy.ndarray
    equal_error_rate: Score
    tar_at: Mapping[float, Score]
    same: int
    different: int
    metric: Metric = "cosine"

    def threshold(self, far: float) -> float:
        """Return the least threshold with at most a wanted false accept rate on these pairs.

        Raises:
            ValueError: a rate outside of (0, 1], or a rate that is too small for the number of pairs.
        """
        check_rate(far, self.different)
        return float(self.thresholds[_place(self.far, far)])

    def accepts(self, first: Tensor, second: Tensor, far: float) -> Tensor:
        """Return whether pairs of ``(..., d)`` rows are of the same identity, by the threshold of `far`, in float64."""
        return similarity(first.double(), second.double(), metric=self.metric) >= self.threshold(far)

    def __str__(self) -> str:
        rates = [f"at FAR {far:g}: {score}" for far, score in self.tar_at.items()]
        return "\n".join([str(self.equal_error_rate), *rates, f"{self.same} same and {self.different} different pairs"])


def verify(
    features: Any,
    identities: Any,
    *,
    pairs: Any = None,
    metric: Metric = "cosine",
    rates: Sequence[float] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Verification:
    r"""Return how well one row per person, or per anything, tells whether another row is of the same person.

    .. math:: \mathrm{TAR}(t) = \frac{|\{(i, j): s_{ij} \ge t, y_i = y_j\}|}{|\{(i, j): y_i = y_j\}|}, \qquad
        \mathrm{FAR}(t) = \frac{|\{(i, j): s_{ij} \ge t, y_i \ne y_j\}|}{|\{(i, j): y_i \ne y_j\}|}

    Args:
        features: ``(n, d)``, by any encoder.
        identities: ``(n,)`` names or whole numbers from 0 on: an array, a tensor, a list or a column of pandas.
        pairs: ``(m, 2)`` numbers of rows. None takes all pairs of two rows.
        metric: ``"cosine"``, or ``"squared_euclidean"`` for minus the squared distance.
        rates: false accept rates of `tar_at`. None takes those of 0.1, 0.01 and 0.001 that the number of pairs can
            show.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    The intervals are 95 % percentiles of a bootstrap over identities: pairs that share a person depend on each other,
    and an interval over pairs would be too narrow. A resample draws identities with replacement; a pair of one identity
    counts as often as the identity was drawn, a pair of two as often as the product. Where all resamples agree, as
    without any error, the interval is Wilson's, of as many rows as identities. Time: one pass over the pairs for each
    resample.

    Raises:
        ValueError: no pair of one identity, or no pair of two; a rate below 1 over the number of different pairs;
            features that are no finite rows, pairs that are no row numbers.

    The threshold for a wanted rate comes from rows of people who are not in the test.

    Bolle et al., Error Analysis of Pattern Recognition Systems: the Subsets Bootstrap, 2004,
    https://doi.org/10.1016/j.cviu.2003.08.002

    >>> found = verify([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]], ["a", "a", "b", "b"], rates=[0.5])
    >>> found.equal_error_rate.value, found.same, found.different
    (0.0, 2, 4)
    """
    check(COUNT, resamples=resamples)
    check(FROM_0, seed=seed)
    x, low, high = finite_rows("features", features, "d")
    if max(-low, high) and not 1e-100 < max(-low, high) < 1e100:  # squares of float64 overflow or vanish
        raise ValueError(
            f"`features` must have a largest number between 1e-100 and 1e100, got {max(-low, high):.3g}: divide the "
            "features by one number."
        )
    names, y = _identities(identities, len(x))
    i, j = _pairs(pairs, len(x))
    s = _similarities(x, i, j, metric)
    order = numpy.argsort(-s, kind="stable")
    s, a, b = s[order], y[i[order]], y[j[order]]
    together = a == b
    same, different = int(together.sum()), int((~together).sum())
    if not same or not different:
        raise ValueError(
            f"the pairs must have some of one identity and some of two, got {same} and {different}: give several rows "
            "of several identities."
        )
    if rates is None:
        rates = [rate for rate in USUAL_RATES if rate * different >= 1]
    else:
        check(each(ABOVE_0), rates=rates)
        for rate in rates:
            check_rate(rate, different)
    roc = _Roc(s, a, b, together)
    far, tar = roc.rates(numpy.ones(len(names)))
    values = numpy.array(_numbers(far, tar, rates))
    drawn = _resampled(roc, len(names), rates, resamples, seed)
    ends = numpy.quantile(drawn, [0.025, 0.975], axis=0) if drawn else numpy.tile(values, (2, 1))
    units = len(numpy.unique(a[together])), len(names)
    scores = [_score("equal error rate", values[0], ends[:, 0], units[1], higher=False)]
    scores += [_score("true accept rate", v, e, units[0]) for v, e in zip(values[1:], ends.T[1:], strict=True)]
    thresholds = numpy.concatenate([[numpy.nextafter(s[0], numpy.inf)], s[roc.ends]])
    tar_at = dict(zip(map(float, rates), scores[1:], strict=True))
    return Verification(thresholds, far, tar, scores[0], tar_at, same, different, metric)


def check_rate(far: float, different: int) -> None:
    """Raise a ValueError unless the number of different pairs can show a false accept rate."""
    check(ABOVE_0, far=far)
    if far * different < 1:
        raise ValueError(
            f"`far` must be at least 1 over the number of different pairs, got {far:g} for {different} pairs: more "
            "pairs show a smaller rate."
        )


class _Roc:
    """The ROC of sorted pairs, for any weights of the identities."""

    def __init__(self, s: numpy.ndarray, a: numpy.ndarray, b: numpy.ndarray, together: numpy.ndarray):
        self.a, self.b, self.together = a, b, together
        self.ends = numpy.append(numpy.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # equal similarities are one point

    def rates(self, weights: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return false and true accept rates ``(k + 1,)``, first of the threshold that accepts no pair."""
        first = weights[self.a]
        own, other = numpy.where(self.together, first, 0), numpy.where(self.together, 0, first * weights[self.b])
        with numpy.errstate(invalid="ignore"):
            tar, far = (sums[self.ends] / sums[-1] for sums in (own.cumsum(), other.cumsum()))
        return numpy.append(0, far), numpy.append(0, tar)


def _resampled(roc: _Roc, people: int, rates: Sequence[float], resamples: int, seed: int) -> list[list[float]]:
    """Return the equal error rate and the true accept rates of each resample of the identities."""
    generator, drawn = numpy.random.default_rng(keyed_seed(seed, "verify")), []
    for _ in range(resamples):
        weights = numpy.bincount(generator.integers(people, size=people), minlength=people).astype(float)
        far, tar = roc.rates(weights)
        if numpy.isfinite(far[-1] + tar[-1]):  # else a resample without one of the two kinds of pairs
            drawn.append(_numbers(far, tar, rates))
    return drawn


def _place(far: numpy.ndarray, rate: float) -> int:
    """Return the last place with at most a rate."""
    return int(numpy.searchsorted(far, rate * (1 + 1e-12), side="right")) - 1


def _numbers(far: numpy.ndarray, tar: numpy.ndarray, rates: Sequence[float]) -> list[float]:
    """Return the equal error rate, and the true accept rate at each false accept rate."""
    gap = far + tar - 1
    k = int(numpy.searchsorted(gap, 0))
    share = -gap[k - 1] / (gap[k] - gap[k - 1])
    return [far[k - 1] + share * (far[k] - far[k - 1]), *(tar[_place(far, rate)] for rate in rates)]


def _score(metric: str, value: float, ends: numpy.ndarray, units: int, *, higher: bool = True) -> Score:
    low, high = wilson(value, units) if ends[0] == ends[1] else map(float, ends)
    return Score(metric, float(value), min(low, float(value)), max(high, float(value)), units, higher)


def _identities(identities: Any, n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the identities in order, and the number of the identity of each row."""
    who = to_labels(identities, what="`identities`").values
    if who.shape != (n,) or who.is_floating_point():
        raise ValueError(
            f"`identities` must be ({n},) names or whole numbers, one for each row, got shape {tuple(who.shape)} of "
            f"{who.dtype}."
        )
    if int(who.min()) < 0:
        raise ValueError(f"`identities` must be from 0 on, found {who.min()}: leave rows without an identity out.")
    names, y = numpy.unique(who.numpy(), return_inverse=True)
    return names, y


def _pairs(pairs: Any, n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    if pairs is None:
        return numpy.triu_indices(n, 1)
    found = as_numbers("pairs", pairs).cpu().numpy()
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind != "i" or not len(found):
        raise ValueError(f"`pairs` must be (m, 2) row numbers with m >= 1, got shape {found.shape} of {found.dtype}.")
    if found.min() < 0 or found.max() >= n or (found[:, 0] == found[:, 1]).any():
        raise ValueError(
            f"`pairs` must be two different row numbers in [0, {n}), found {found.min()} to {found.max()}"
            f"{', or a row with itself' if (found[:, 0] == found[:, 1]).any() else ''}."
        )
    return found[:, 0], found[:, 1]


def _similarities(x: Tensor, i: numpy.ndarray, j: numpy.ndarray, metric: Metric, block: int = 65536) -> numpy.ndarray:
    """Return ``(m,)`` similarities in float64, by blocks of pairs."""
    first, second = torch.from_numpy(i), torch.from_numpy(j)
    x = x.cpu().double()
    parts = zip(first.split(block), second.split(block), strict=True)
    return torch.cat([similarity(x[a], x[b], metric=metric) for a, b in parts]).numpy()
