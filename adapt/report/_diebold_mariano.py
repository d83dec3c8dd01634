"""Whether one forecast is better than another, where the errors of neighbouring days are alike."""

import math
from typing import Any, NamedTuple

import numpy

from adapt.report.interval import Interval
from losses.options import FROM_0, check, or_none


class DieboldMariano(NamedTuple):
    """The mean difference of two losses.

    Attributes:
        difference: mean loss of the forecast minus mean loss of the baseline, with a 95 % interval; negative where the
            forecast is better.
        statistic: the difference over its standard error.
        p: two-sided.
        lags: how many lags of the differences the variance counts.
    """

    difference: Interval
    statistic: float
    p: float
    lags: int


def diebold_mariano(losses: Any, baseline: Any, *, lags: int | None = None) -> DieboldMariano:
    r"""Compare the losses of two forecasts of the same times: the test of Diebold and Mariano with a robust variance.

    With the differences :math:`d_t` of the losses, their autocovariances :math:`\gamma_k` and Bartlett's weights:

    .. math:: \mathrm{DM} = \bar d \Big/ \sqrt{\tfrac{1}{n} \bigl(\gamma_0 + 2 \textstyle\sum_{k=1}^{L}
        (1 - \tfrac{k}{L + 1}) \gamma_k\bigr)}

    p and the interval are of Student's distribution with n - 1 degrees of freedom.

    Args:
        losses, baseline: ``(n,)`` losses in the order of time. Of many series, such as stocks, give the mean loss of
            each time: the series of one day are alike, and are no independent rows.
        lags: L, at least the horizon of the forecast minus 1, since the errors of overlapping forecasts are alike.
            None takes :math:`\lfloor 4 (n / 100)^{2/9} \rfloor`, the rule of Newey and West for one step.

    Raises:
        ValueError: fewer than 2 losses, or fewer than `lags` + 2; unequal numbers; losses that are not finite.

    Equal losses give p = 1.

    Diebold and Mariano, Comparing Predictive Accuracy, 1995, https://doi.org/10.1080/07350015.1995.10524599; Newey and
    West, 1987, https://doi.org/10.2307/1913610; Student's distribution: Harvey, Leybourne and Newbold, 1997,
    https://doi.org/10.1016/S0169-2070(96)00719-4

    >>> diebold_mariano([1.0, 2, 1, 2, 1, 2], [2.0, 2, 2, 2, 2, 2], lags=0).difference.value
    -0.5
    """
    check(or_none(FROM_0), lags=lags)
    a, b = (numpy.asarray(values, dtype=numpy.float64) for values in (losses, baseline))
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"`losses` and `baseline` must be one loss per time, got {a.shape} and {b.shape}.")
    n = len(a)
    L = math.floor(4 * (n / 100) ** (2 / 9)) if lags is None else lags
    if n < L + 2:
        raise ValueError(f"`losses` must have at least {L + 2} times for {L} lags, got {n}: take fewer `lags`.")
    if not (numpy.isfinite(a).all() and numpy.isfinite(b).all()):
        raise ValueError("`losses` and `baseline` must be finite, and some are not: leave out times without a loss.")
    d = a - b
    mean = d.mean()
    gamma = [(d[k:] - mean) @ (d[: n - k] - mean) / n for k in range(L + 1)]
    error = math.sqrt(max(0.0, gamma[0] + 2 * sum((1 - k / (L + 1)) * gamma[k] for k in range(1, L + 1))) / n)
    if error == 0:
        return DieboldMariano(
            Interval(mean, mean, mean), math.copysign(math.inf, mean) if mean else 0.0, float(not mean), L
        )
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(n - 1, 0.975)) * error
    p = 2 * float(stdtr(n - 1, -abs(mean / error)))
    return DieboldMariano(Interval(float(mean), float(mean - half), float(mean + half)), float(mean / error), p, L)
