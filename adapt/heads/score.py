"""A measured value with its 95 % interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor

Z = 1.959964  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Score:
    """A value that a head measured on `n` rows, with the 95 % interval from `low` to `high`.

    Attributes:
        n: number of labelled rows; where rows belong together, the number of units.
        further: further values by name, without interval, say ``"macro F1"``. An undefined value is left out.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    higher_is_better: bool = True
    further: Mapping[str, float] = field(default_factory=dict, hash=False)

    def named(self, name: str | None) -> tuple[float, bool]:
        """Return the value of a name, the metric or a further value, and whether higher is better.

        Args:
            name: None is the metric.

        Raises:
            ValueError: a name that this score does not have.

        >>> Score("accuracy", 0.5, 0.4, 0.6, 9, further={"macro F1": 0.25}).named("macro F1")
        (0.25, True)
        """
        if name in (None, self.metric):
            return self.value, self.higher_is_better
        if name not in self.further:
            raise ValueError(f"`score` must be one of {', '.join([self.metric, *self.further])}, got {name!r}.")
        return self.further[name], not name.endswith(("error", "cross-entropy"))

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.3g} (95 % interval {self.low:.3g} to {self.high:.3g}, n = {self.n})"


def proportion(metric: str, hits: Tensor, *, units: Tensor | None = None) -> Score:
    r"""Return the share of true entries of `hits` ``(n,)`` with Wilson's interval.

    .. math:: \frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}, \qquad z = 1.96

    Args:
        units: ``(n,)``, the number of the unit of each row, where rows belong together: the interval is then the
            interval of :func:`ratio` over units.

    Raises:
        ValueError: `hits` is empty.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927,
    https://doi.org/10.1080/01621459.1927.10502953
    """
    n = len(hits)
    if n == 0:
        raise ValueError("`hits` is empty: a score needs at least one labelled row.")
    if units is not None:
        return ratio(metric, hits, torch.ones_like(hits, dtype=torch.float64), units=units)
    p = hits.double().mean().item()
    return Score(metric, p, *wilson(p, n), n)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of n rows, as in :func:`proportion`."""
    centre, spread = share + Z * Z / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def student(values: Any) -> tuple[float, float, float]:
    r"""Return the mean of ``(n,)`` values, such as one value per seed, and the ends of Student's 95 % interval.

    .. math:: \bar x \pm t_{0.975,\,n-1} \, s / \sqrt n

    The interval of one value is infinite.
    """
    from scipy.special import stdtrit

    x = numpy.asarray(values, float)
    n, mean = len(x), float(x.mean())
    half = float(stdtrit(n - 1, 0.975) * x.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    return mean, mean - half, mean + half


def average(metric: str, values: Tensor, *, higher_is_better: bool, units: Tensor | None = None) -> Score:
    """Return the mean of `values` ``(n,)`` with the normal interval: mean ± 1.96 standard errors, infinite for one row.

    Args:
        units: as in :func:`proportion`.

    Raises:
        ValueError: `values` is empty.
    """
    n = len(values)
    if n == 0:
        raise ValueError("`values` is empty: a score needs at least one labelled row.")
    if units is not None:
        counts = torch.ones_like(values, dtype=torch.float64)
        return ratio(metric, values, counts, higher_is_better=higher_is_better, units=units)
    mean = values.double().mean().item()
    half = Z * values.double().std().item() / math.sqrt(n) if n > 1 else math.inf
    return Score(metric, mean, mean - half, mean + half, n, higher_is_better)


def ratio(
    metric: str, totals: Tensor, counts: Tensor, *, higher_is_better: bool = True, units: Tensor | None = None
) -> Score:
    r"""Return a mean over parts of rows, such as tokens of sentences, with the 95 % interval of a ratio of two sums
    over rows.

    .. math:: R = \frac{\sum_i t_i}{\sum_i c_i}, \qquad
        R \pm 1.96 \, \frac{1}{\sum_i c_i} \sqrt{\frac{n}{n - 1} \sum_i (t_i - R c_i)^2}

    The parts of a row may depend on each other. An interval that took all parts as independent would be too narrow. The
    interval is infinite for one row.

    Args:
        totals: t ``(n,)``, summed over the parts of each row.
        counts: c ``(n,)``, the number of parts of each row. Rows without parts are left out.
        units: ``(n,)``, the number of the unit of each row, where rows belong together, such as the frames of a video.
            Totals and counts are first summed over the rows of each unit, and n is the number of units. None: each row
            is a unit.

    Raises:
        ValueError: `counts` are all zero; `units` without one entry per row.

    Cochran, Sampling Techniques, third edition, 1977, chapter 6.
    """
    if units is not None:
        totals, counts = sums(totals, units), sums(counts, units)
    t, c = totals.double()[counts > 0], counts.double()[counts > 0]
    n = len(c)
    if n == 0:
        raise ValueError("`counts` are all zero: a score needs at least one labelled row.")
    value = (t.sum() / c.sum()).item()
    spread = (t - value * c).square().sum().item()
    half = Z * math.sqrt(n / (n - 1) * spread) / c.sum().item() if n > 1 else math.inf
    return Score(metric, value, value - half, value + half, n, higher_is_better)


def sums(values: Tensor, units: Tensor) -> Tensor:
    """Return the sums of `values` ``(n,)`` over the rows of each unit, in the order of the numbers of the units.

    Raises:
        ValueError: `units` without one entry per row.
    """
    if len(units) != len(values):
        raise ValueError(
            f"`units` must have one entry for each of the {len(values)} rows, got {len(units)}: give every row the "
            "number of the unit."
        )
    numbers, unit = units.unique(return_inverse=True)
    return torch.zeros(len(numbers), dtype=torch.float64).index_add(0, unit, values.double())
