"""Intervals by tests turned round, for statistics that are not normal and not unbiased, such as a maximum."""

from collections.abc import Callable

import numpy

TAIL, DRAWS = 0.025, 2000


class Hits:
    """Simulated binomial counts that move smoothly with the rates: each call takes the quantiles of the same levels."""

    def __init__(self, counts: numpy.ndarray, seed: int, draws: int = DRAWS):
        self.counts = counts
        self.levels = (numpy.arange(draws) + 0.5) / draws
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
            row[:] = first + numpy.searchsorted(chances, self.levels)[order]
        return drawn.T.reshape(-1, *self.counts.shape)


def inverted(
    observed: float, simulate: Callable[[float], numpy.ndarray], bottom: float, top: float, halvings: int = 14
) -> tuple[float, float]:
    r"""Return the 95 % interval of all values :math:`\theta` that the observed statistic T does not refuse.

    .. math:: \{\theta : P_\theta(T^* > T) + \tfrac12 P_\theta(T^* = T) > 0.025 \text{ and }
        P_\theta(T^* < T) + \tfrac12 P_\theta(T^* = T) > 0.025\}

    Both chances come from simulated statistics :math:`T^*`, with the other parameters at the values that fit the data
    best for the given :math:`\theta` (Hansen's grid bootstrap). The chances are taken as monotone in :math:`\theta`:
    halvings find each end. A plain bootstrap fails at the border of the range, where T is always above the truth. This
    interval works there, as the simulation knows the bias.

    Args:
        simulate: from :math:`\theta` to statistics, from the same random numbers at each call.
        bottom, top: the range of :math:`\theta`.

    Hansen, The Grid Bootstrap and the Autoregressive Model, 1999, https://doi.org/10.1162/003465399558463
    """
    near = 1e-9 + 1e-9 * abs(observed)

    def refused(theta: float, side: float) -> bool:
        beyond = side * (simulate(theta) - observed)
        return float((beyond > near).mean() + 0.5 * (numpy.abs(beyond) <= near).mean()) < TAIL

    def end(side: float, refused_end: float, other: float) -> float:
        if not refused(refused_end, side):
            return refused_end
        if refused(other, side):
            return other
        for _ in range(halvings):
            middle = (refused_end + other) / 2
            refused_end, other = (middle, other) if refused(middle, side) else (refused_end, middle)
        return other

    return end(1.0, bottom, top), end(-1.0, top, bottom)
