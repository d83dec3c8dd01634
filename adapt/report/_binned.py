"""The calibration error of fixed bins: the debiased estimate and its interval."""

from functools import cache
from math import comb

import numpy

from adapt.heads.score import Z
from adapt.report._inversion import calmed, inverted
from adapt.report.interval import Interval

TIMES = 3  # how often the bias is corrected; each time takes less away, and adds variance
PLACES = numpy.linspace(0, 8, 401)  # residuals divided by their noise; beyond the last, bias and skewness are 0
NORMAL = numpy.linspace(-8, 8, 161)  # values of a standard normal variable


class Binned:
    r"""Residuals :math:`y - c` in B bins of equal width, and their calibration error :math:`\theta`.

    Bin b has the share :math:`w_b` of the n rows, and the mean residual :math:`r_b` with the true value
    :math:`\delta_b` and the variance :math:`v_b`. The quarter and the half give a variance to a bin without errors:

    .. math:: \theta = \sum_b w_b |\delta_b|, \qquad
        v_b = \frac{1}{n_b} \cdot \frac{\sum_{i \in b} (y_i - c_i - r_b)^2 + \frac14}{n_b + \frac12}

    **The statistic** is the sum of absolute values with the bias corrected three times. The mean of :math:`|r_b|` is
    above :math:`|\delta_b|`. The bias is estimated by adding the noise again (the iterated bootstrap of Hall). With
    :math:`f_j` for the noise added j times,

    .. math:: T = \sum_b w_b \sum_{j=0}^{3} (-1)^j \binom{4}{j + 1} f_j(r_b, v_b), \qquad
        f_j(x, v) = \mathbb{E} \, |\mathcal{N}(x, j v)|, \qquad f_0(x, v) = |x|

    **The interval** holds each :math:`\theta` for which T is between the 2.5 % and the 97.5 % quantile of the
    statistic. The quantiles follow from the mean M, the variance V and the skewness :math:`\gamma` of T for normal
    residuals (Cornish and Fisher), with :math:`z = \pm 1.96`. The shares of the bins vary too, which adds to V:

    .. math:: M + \sqrt{V} \Bigl(z + \frac{z^2 - 1}{6} \gamma\Bigr), \qquad
        V = \sum_b w_b^2 \operatorname{Var}(T_b) + \frac1n \Bigl(\sum_b w_b \delta_b^2 - \theta^2\Bigr)

    M, V and :math:`\gamma` depend on all :math:`\delta_b`, not on :math:`\theta` alone. For each :math:`\theta` the
    :math:`\delta_b` are the most likely values with this error: :math:`|\delta_b| = (|\tilde r_b| - \lambda w_b
    v_b)_+`. They start from the residuals :math:`\tilde r_b` without the spread that comes from noise
    (:func:`adapt.report._inversion.calmed`).

    The corrections make T less dependent on the way in which an error is spread over the bins. For one error the plain
    sum is far larger where all of the error is in one bin. No interval is exact for all ways (Cai and Low). The
    docstring of :func:`adapt.report.calibration` says how often the interval holds the truth.

    Hall, The Bootstrap and Edgeworth Expansion, 1992, section 1.4, https://doi.org/10.1007/978-1-4612-4384-7; Cai and
    Low, Testing composite hypotheses, Hermite polynomials and optimal estimation of a nonsmooth functional, 2011,
    https://doi.org/10.1214/10-AOS849; Cornish and Fisher, Moments and cumulants in the specification of distributions,
    1938, https://doi.org/10.2307/1400905
    """

    def __init__(self, c: numpy.ndarray, y: numpy.ndarray, bins: int = 15):
        self.kept, of = numpy.unique(numpy.minimum((c * bins).astype(int), bins - 1), return_inverse=True)
        self.n, self.of, self.counts = len(c), of, numpy.bincount(of)
        self.weight = self.counts / self.n
        self.confidence = numpy.bincount(of, c) / self.counts
        self.accuracy = numpy.bincount(of, y) / self.counts
        self.residual = self.accuracy - self.confidence
        squares = numpy.bincount(of, (y - c - self.residual[of]) ** 2)
        self.noise = numpy.sqrt((squares + 0.25) / (self.counts + 0.5) / self.counts)
        self.start = calmed(self.residual, self.noise**2)

    def statistic(self) -> float:
        """The debiased error, below 0 where the residuals are smaller than noise alone makes them."""
        return float(self.weight @ (self.noise * corrected(self.residual / self.noise)))

    def true(self, theta: float) -> numpy.ndarray:
        """The most likely residuals with the calibration error theta."""
        size, step = numpy.abs(self.start), self.weight * self.noise**2
        # the error falls with the move, linear between the moves that bring a bin to 0; above 1 at the last move
        moves = numpy.sort([*(size / step), -1 / (self.weight @ step)])[::-1]
        errors = numpy.maximum(size - moves[:, None] * step, 0) @ self.weight
        move = numpy.interp(theta, errors, moves)
        return numpy.where(self.start < 0, -1.0, 1.0) * numpy.maximum(size - move * step, 0)

    def quantile(self, theta: float, z: float) -> float:
        """The quantile of the statistic, for the standard normal quantile z, where the calibration error is theta."""
        true, scale = self.true(theta), self.weight * self.noise
        bias, second, third = (numpy.interp(numpy.abs(true) / self.noise, PLACES, column) for column in moments())
        shares = max(0.0, self.weight @ true**2 - theta**2) / self.n
        variance = scale**2 @ second + shares
        skewness = scale**3 @ third / variance**1.5
        return float(theta + scale @ bias + variance**0.5 * (z + (z * z - 1) / 6 * skewness))

    def error(self) -> Interval:
        """The debiased error, and the calibration errors that the statistic does not refuse."""
        observed = self.statistic()

        def refused(theta: float, side: float) -> bool:
            return side * (observed - self.quantile(theta, side * Z)) > 0

        return Interval(max(0.0, observed), *inverted(observed, refused, 0.0, 1.0))


def corrected(x: numpy.ndarray) -> numpy.ndarray:
    """The absolute value of x, a residual divided by its noise, with the bias corrected."""
    from scipy.special import ndtr

    found = (TIMES + 1) * numpy.abs(x)
    for j in range(1, TIMES + 1):
        again = numpy.abs(x) / j**0.5
        mean = (2 / numpy.pi) ** 0.5 * numpy.exp(-0.5 * again**2) + again * (2 * ndtr(again) - 1)
        found += (-1) ** j * comb(TIMES + 1, j + 1) * j**0.5 * mean
    return found


@cache
def moments() -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """The bias, the variance and the third central moment of the corrected absolute value of a residual at `PLACES`."""
    chance = numpy.exp(-0.5 * NORMAL**2)
    chance /= chance.sum()
    drawn = corrected(PLACES[:, None] + NORMAL)
    mean = drawn @ chance
    second, third = ((drawn - mean[:, None]) ** k @ chance for k in (2, 3))
    return mean - PLACES, second, third
