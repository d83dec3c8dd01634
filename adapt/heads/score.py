"""A measured value with its 95 % interval."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Score:
    """What a head measured on `n` rows: `value` and its 95 % interval `low` to `high`."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    higher_is_better: bool = True

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.3g} (95 % interval {self.low:.3g} to {self.high:.3g}, n = {self.n})"


def proportion(metric: str, hits: Tensor) -> Score:
    r"""The share of true entries of `hits` ``(n,)`` with Wilson's interval.

    .. math:: \frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}, \qquad z = 1.96

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927,
    https://doi.org/10.1080/01621459.1927.10502953
    """
    n = len(hits)
    if n == 0:
        raise ValueError("`hits` is empty: a score needs at least one labelled row.")
    p, z = hits.double().mean().item(), 1.959964
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Score(metric, p, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale), n)


def average(metric: str, values: Tensor, *, higher_is_better: bool) -> Score:
    """The mean of `values` ``(n,)`` with its normal interval, mean ± 1.96 standard errors; infinite for one row."""
    n = len(values)
    if n == 0:
        raise ValueError("`values` is empty: a score needs at least one labelled row.")
    mean = values.double().mean().item()
    half = 1.959964 * values.double().std().item() / math.sqrt(n) if n > 1 else math.inf
    return Score(metric, mean, mean - half, mean + half, n, higher_is_better)


def ratio(metric: str, totals: Tensor, counts: Tensor, *, higher_is_better: bool = True) -> Score:
    r"""A mean over parts of rows, such as tokens of sentences, with the 95 % interval of a ratio of two sums over rows.

    .. math:: R = \frac{\sum_i t_i}{\sum_i c_i}, \qquad
        R \pm 1.96 \, \frac{1}{\sum_i c_i} \sqrt{\frac{n}{n - 1} \sum_i (t_i - R c_i)^2}

    The parts of a row need not be independent; an interval over parts as if they were would be too narrow. Infinite for one row.

    Args:
        totals: t ``(n,)``, summed over the parts of a row.
        counts: c ``(n,)``, how many parts a row has; rows without any are left out.

    Cochran, Sampling Techniques, third edition, 1977, chapter 6.
    """
    t, c = totals.double()[counts > 0], counts.double()[counts > 0]
    n = len(c)
    if n == 0:
        raise ValueError("`counts` are all zero: a score needs at least one labelled row.")
    value = (t.sum() / c.sum()).item()
    spread = (t - value * c).square().sum().item()
    half = 1.959964 * math.sqrt(n / (n - 1) * spread) / c.sum().item() if n > 1 else math.inf
    return Score(metric, value, value - half, value + half, n, higher_is_better)
