"""Intervals of the smallest of several shares, and of the largest gap between shares."""

import numpy

from adapt.report._inversion import Hits, calmed, inverted, seldom
from adapt.report.interval import Interval


def lowest(hits: numpy.ndarray, counts: numpy.ndarray, seed: int) -> Interval:
    """The smallest of the shares ``hits / counts`` of K groups.

    Simulated where the smallest is theta: the shares below are raised to theta, or the share that is cheapest to move
    is lowered to theta.
    """
    shares, value = hits / counts, float((hits / counts).min())
    variance, drawn = variances(hits, counts), Hits(counts, seed)

    def at(theta: float) -> numpy.ndarray:
        if theta >= value:
            return numpy.maximum(shares, theta)
        moved = shares.copy()
        moved[((shares - theta) ** 2 / variance).argmin()] = theta
        return moved

    def refused(theta: float, side: float) -> bool:
        return seldom((drawn(at(theta)) / counts).min(1), value, side)

    return Interval(value, *inverted(value, refused, 0.0, 1.0))


def largest_gap(hits: numpy.ndarray, counts: numpy.ndarray, seed: int) -> Interval:
    r"""The largest gap between shares of the same row, for ``(rows, K)`` hits and counts.

    .. math:: \max_r \Bigl(\max_k \frac{h_{rk}}{n_{rk}} - \min_k \frac{h_{rk}}{n_{rk}}\Bigr)

    Simulated where the largest gap is theta: shares that are further apart are moved to the nearest shares (weighted by
    their variances) with a gap of theta; where no gap is as large, the pair that is cheapest to move is moved apart.
    For the low end the shares stay as spread as the data. For the high end they lose the spread that comes from the
    noise (:func:`adapt.report._inversion.calmed`). The same shares at both ends covered too seldom for ten groups.
    """
    shares, variance, drawn = hits / counts, variances(hits, counts), Hits(counts, seed)
    value = float(numpy.ptp(shares, axis=1).max())
    calm = numpy.stack([calmed(row, v) for row, v in zip(shares, variance, strict=True)])

    def refused(theta: float, side: float) -> bool:
        start = shares if side > 0 else calm
        move = closer if theta <= numpy.ptp(start, axis=1).max() else apart
        return seldom(numpy.ptp(drawn(move(start, variance, theta)) / counts, axis=2).max(1), value, side)

    return Interval(value, *inverted(value, refused, 0.0, 1.0))


def variances(hits: numpy.ndarray, counts: numpy.ndarray) -> numpy.ndarray:
    """Of the shares; half a hit and half a miss are added, so that no variance is 0."""
    rate = (hits + 0.5) / (counts + 1)
    return rate * (1 - rate) / counts


def closer(shares: numpy.ndarray, variance: numpy.ndarray, gap: float) -> numpy.ndarray:
    """The nearest shares with a gap of at most `gap` in each row."""
    moved = shares.copy()
    for row, v in zip(moved, variance, strict=True):
        if numpy.ptp(row) > gap:
            # the pull on the lower end a of the window [a, a + gap] grows with a, linear between these points
            ends = numpy.sort(numpy.concatenate([row, row - gap]))
            below, above = numpy.maximum(ends[:, None] - row, 0), numpy.maximum(row - gap - ends[:, None], 0)
            a = numpy.interp(0, ((below - above) / v).sum(1), ends)
            row[:] = row.clip(a, a + gap)
    return moved


def apart(shares: numpy.ndarray, variance: numpy.ndarray, gap: float) -> numpy.ndarray:
    """The nearest shares with a gap of `gap` in one row, where all gaps are smaller."""
    moved = shares.copy()
    need = gap - (shares[:, :, None] - shares[:, None, :])  # (rows, higher, lower)
    cost = need**2 / (variance[:, :, None] + variance[:, None, :])
    cost[:, numpy.arange(shares.shape[1]), numpy.arange(shares.shape[1])] = numpy.inf
    r, i, j = numpy.unravel_index(cost.argmin(), cost.shape)
    up = shares[r, i] + need[r, i, j] * variance[r, i] / (variance[r, i] + variance[r, j])
    up = float(numpy.clip(up, gap, 1.0))
    moved[r] = moved[r].clip(up - gap, up)
    moved[r, i], moved[r, j] = up, up - gap
    return moved
