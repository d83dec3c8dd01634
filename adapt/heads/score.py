"""A measured value with its 95 % interval."""

import math
from dataclasses import dataclass

from torch import Tensor

Z = 1.959964  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Score:
    """A value that a head measured on `n` rows, with the 95 % interval from `low` to `high`."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    higher_is_better: bool = True

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.3g} (95 % interval {self.low:.3g} to {self.high:.3g}, n = {self.n})"


def proportion(metric: str, hits: Tensor) -> Score:
    r"""Return the share of true entries of `hits` ``(n,)`` with Wilson's interval.

    .. math:: \frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}, \qquad z = 1.96

    Raises:
        ValueError: `hits` is empty.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927,
    https://doi.org/10.1080/01621459.1927.10502953
    """
    n = len(hits)
    if n == 0:
        raise ValueError("`hits` is empty: a score needs at least one labelled row.")
    p = hits.double().mean().item()
    centre, spread = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return Score(metric, p, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale), n)


def average(metric: str, values: Tensor, *, higher_is_better: bool) -> Score:
    """Return the mean of `values` ``(n,)`` with the normal interval: mean ± 1.96 standard errors, infinite for one row.

    Raises:
        ValueError: `values` is empty.
    """
    n = len(values)
    if n == 0:
        raise ValueError("`values` is empty: a score needs at least one labelled row.")
    mean = values.double().mean().item()
    half = Z * values.double().std().item() / math.sqrt(n) if n > 1 else math.inf
    return Score(metric, mean, mean - half, mean + half, n, higher_is_better)


def ratio(metric: str, totals: Tensor, counts: Tensor, *, higher_is_better: bool = True) -> Score:
    r"""Return a mean over parts of rows, such as tokens of sentences, with the 95 % interval of a ratio of two sums
    over rows.

    .. math:: R = \frac{\sum_i t_i}{\sum_i c_i}, \qquad
        R \pm 1.96 \, \frac{1}{\sum_i c_i} \sqrt{\frac{n}{n - 1} \sum_i (t_i - R c_i)^2}

    The parts of a row may depend on each other. An interval that took all parts as independent would be too narrow. The
    interval is infinite for one row.

    Args:
        totals: t ``(n,)``, summed over the parts of each row.
        counts: c ``(n,)``, the number of parts of each row. Rows without parts are left out.

    Raises:
        ValueError: `counts` are all zero.

    Cochran, Sampling Techniques, third edition, 1977, chapter 6.
    """
    t, c = totals.double()[counts > 0], counts.double()[counts > 0]
    n = len(c)
    if n == 0:
        raise ValueError("`counts` are all zero: a score needs at least one labelled row.")
    value = (t.sum() / c.sum()).item()
    spread = (t - value * c).square().sum().item()
    half = Z * math.sqrt(n / (n - 1) * spread) / c.sum().item() if n > 1 else math.inf
    return Score(metric, value, value - half, value + half, n, higher_is_better)
