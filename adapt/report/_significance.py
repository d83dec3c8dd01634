"""Holm's correction, and the power of Student's paired t test."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy

LEVEL, POWER, MOST_SEEDS = 0.05, 0.8, 100_000


def holm(p: Sequence[float]) -> list[float]:
    r"""Return Holm's adjusted p-values: the chance of one or more false alarms among all of them is at most the level.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min\bigl(1, (m - j + 1) \, p_{(j)}\bigr)

    Holm, A simple sequentially rejective multiple test procedure, 1979, https://www.jstor.org/stable/4615733

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = numpy.argsort(p, kind="stable")
    steps = numpy.asarray(p, float)[order] * numpy.arange(len(order), 0, -1)
    adjusted = numpy.empty(len(order))
    adjusted[order] = numpy.minimum(1, numpy.maximum.accumulate(steps))
    return adjusted.tolist()


def t_test(differences: numpy.ndarray) -> float:
    r"""Return the two-sided p-value of Student's t test of a mean of zero, 1 for a single value.

    .. math:: t = \bar d \sqrt n / s, \qquad p = 2 \, P(T_{n-1} > |t|)

    Equal values say nothing of the spread, and few values are equal by chance where the scores are counts of few rows:
    p is then that of the sign test, :math:`2^{1 - n}`, or 1 where the values are zero.
    """
    from scipy.special import stdtr

    n = len(differences)
    if n < 2 or not differences.any():
        return 1.0
    spread = spread_of(differences)
    return float(2 * stdtr(n - 1, -abs(differences.mean()) * math.sqrt(n) / spread)) if spread else 2.0 ** (1 - n)


def spread_of(differences: numpy.ndarray) -> float:
    """Return the standard deviation, 0 where the values are equal up to rounding."""
    spread = float(differences.std(ddof=1))
    return spread if spread > 1e-12 * float(numpy.abs(differences).max()) else 0.0


def power(effect: float, n: int, level: float = LEVEL) -> float:
    r"""Return the chance that a paired t test of `n` values sees a mean of `effect` standard deviations.

    .. math:: P\bigl(F_{1,\,n-1}(n \, e^2) > F_{1,\,n-1;\,1 - \alpha}\bigr)

    with the noncentral F distribution, as :math:`t^2` is F. Cohen, Statistical Power Analysis, 1988.
    """
    from scipy.special import fdtri, ncfdtr

    return float(1 - ncfdtr(1, n - 1, n * effect**2, fdtri(1, n - 1, 1 - level)))


def seeds_that_decide(effect: float, level: float = LEVEL) -> int | None:
    """Return the smallest n with a power of 80 % at `effect`, None beyond 100,000.

    The power grows with n, so that the search doubles and then halves.
    """
    low, high = 1, 2
    while power(effect, high, level) < POWER:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, level) >= POWER else (middle, high)
    return high


@lru_cache
def detectable_effect(n: int, level: float = LEVEL) -> float:
    """Return the effect, in standard deviations, that `n` values see with a power of 80 %."""
    from scipy.optimize import brentq

    return math.exp(brentq(lambda effect: power(math.exp(effect), n, level) - POWER, math.log(1e-4), math.log(1e6)))
