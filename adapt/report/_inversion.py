"""Intervals by tests turned round, for statistics that are not normal and not unbiased, such as a maximum."""

from collections.abc import Callable

import numpy

TAIL, DRAWS, HALVINGS = 0.025, 2000, 14


class Hits:
    """Simulated binomial counts that move smoothly with the rates: each call takes the quantiles of the same levels."""

    def __init__(self, counts: numpy.ndarray, seed: int, draws: int = DRAWS):
        self.counts = counts
        self.draws = draws
        rng = numpy.random.default_rng(seed)
        self.order = rng.permuted(numpy.tile(numpy.arange(draws), (counts.size, 1)), axis=1)

    def __call__(self, rates: numpy.ndarray) -> numpy.ndarray:
        """The counts of hits ``(draws, *shape of the rates)``."""
        from scipy.special import bdtr

        drawn = numpy.empty(self.order.shape)
        for row, order, n, rate in zip(drawn, self.order, self.counts.flat, rates.flat, strict=True):
            reach = 8 * (n * rate * (1 - rate)) ** 0.5 + 8  # no level of 2,000 lies beyond
            first = max(0, int(n * rate - reach))
            chances = bdtr(numpy.arange(first, min(n, int(n * rate + reach)) + 1, dtype=float), n, rate)
            below = (chances * self.draws + 0.5).astype(int)  # of the levels (i + 1/2) / draws
            below[-1] = self.draws
            row[order] = numpy.repeat(numpy.arange(first, first + len(below)), numpy.diff(below, prepend=0))
        return drawn.T.reshape(-1, *self.counts.shape)


def seldom(simulated: numpy.ndarray, observed: float, side: float) -> bool:
    """Whether at most 2.5 % of the simulated statistics lie above (side 1) or below (-1) the observed statistic."""
    beyond, near = side * (simulated - observed), 1e-9 + 1e-9 * abs(observed)
    return float((beyond > near).mean() + 0.5 * (numpy.abs(beyond) <= near).mean()) < TAIL


def inverted(
    observed: float, refused: Callable[[float, float], bool], bottom: float, top: float
) -> tuple[float, float]:
    r"""Return the 95 % interval of all values :math:`\theta` that the observed statistic T does not refuse.

    .. math:: \{\theta : P_\theta(T^* > T) + \tfrac12 P_\theta(T^* = T) > 0.025 \text{ and }
        P_\theta(T^* < T) + \tfrac12 P_\theta(T^* = T) > 0.025\}

    The other parameters have the values that fit the data best for the given :math:`\theta` (Hansen's grid bootstrap).
    The chances are taken as monotone in :math:`\theta`: halvings find each end. A plain bootstrap fails at the border
    of the range, where T is always above the truth. This interval works there, as the chances know the bias.

    Args:
        refused: from :math:`\theta` and a side to whether T is refused: too large, for the low end (side 1), or too
            small, for the high end (side -1).
        bottom, top: the range of :math:`\theta`.

    Hansen, The Grid Bootstrap and the Autoregressive Model, 1999, https://doi.org/10.1162/003465399558463
    """

    def end(side: float, outer: float, inner: float) -> float:
        if not refused(outer, side):
            return outer
        kept = min(max(observed, bottom), top)
        if refused(kept, side):
            outer, kept = kept, inner
        if refused(kept, side):
            return inner
        for _ in range(HALVINGS):
            middle = (outer + kept) / 2
            outer, kept = (middle, kept) if refused(middle, side) else (outer, middle)
        return kept

    return end(1.0, bottom, top), end(-1.0, top, bottom)


def calmed(values: numpy.ndarray, variance: numpy.ndarray) -> numpy.ndarray:
    r"""Return values that lie closer to their mean, with the spread that the true values have.

    .. math:: m + (x - m) \sqrt{\frac{\tau^2}{\tau^2 + v}}, \qquad
        \tau^2 = \max\Bigl(0, \frac{Q - (K - 1)}{W - \sum_k w_k^2 / W}\Bigr), \quad
        Q = \sum_k w_k (x_k - m)^2, \; w_k = 1 / v_k, \; W = \sum_k w_k

    DerSimonian and Laird, Meta-analysis in clinical trials, 1986, https://doi.org/10.1016/0197-2456(86)90046-2
    """
    w = 1 / variance
    mean = w @ values / w.sum()
    spare = w.sum() - (w**2).sum() / w.sum()
    spread = max(0.0, (w @ (values - mean) ** 2 - (len(values) - 1)) / spare) if len(values) > 1 else 0.0
    return mean + (values - mean) * numpy.sqrt(spread / (spread + variance))
