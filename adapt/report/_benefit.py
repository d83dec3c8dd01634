"""The benefit of a transfer: two learning curves, and how much higher, steeper and earlier the one is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from adapt.report.interval import Interval
from adapt.report.paired import mean_interval
from losses.options import NUMBER, check, or_none

GRID = 1001  # points of an axis on which an interval is looked up; the ends are interpolated between points
NOTHING = Interval(math.nan, -math.inf, math.inf)


@dataclass(frozen=True)
class Benefit:
    """What two learning curves say. A positive number speaks for the transfer, whichever direction is better.

    Attributes:
        jumpstart: difference at the first budget, which may be 0.
        end_gap: difference at the last budget. Nothing is extrapolated.
        slope_gap: difference of the slopes, score per octave (doubling) of the budget.
        area_gap: mean difference over the octaves between the first and the last positive budget.
        octaves: how many octaves of the budget the transfer is worth.
        multiplier: :math:`2^{\\text{octaves}}`. The transfer is worth `multiplier` times the budget.
        transfer_ratio: area gap over the area of `scratch`. The ratio depends on where the score has its zero.
        threshold: the level of the next attributes, None where none was given.
        time_to_threshold: of the transfer and of `scratch`, the budget at which the mean curve reaches the level.
        speed_up: time of `scratch` over time of the transfer.
        crossing: the budget beyond which `scratch` is better; None where the mean curves do not cross that way.
        budgets: the first and the last budget.
        seeds: the number of seeds.
    """

    jumpstart: Interval
    end_gap: Interval
    slope_gap: Interval
    area_gap: Interval
    octaves: Interval
    multiplier: Interval
    transfer_ratio: Interval
    threshold: float | None
    time_to_threshold: tuple[Interval, Interval] | None
    speed_up: Interval | None
    crossing: Interval | None
    budgets: tuple[float, float]
    seeds: int

    @property
    def sentence(self) -> str:
        """What the numbers say, in one or two sentences."""
        low, high = self.multiplier.low, self.multiplier.high
        if not self.octaves.excludes(0):
            said = "No benefit and no harm is shown: the transfer is worth"
        elif low > 1:
            said = "The transfer helps: the transfer is worth"
        else:
            said = "The transfer harms: the transfer is worth"
        said += f" {times(self.multiplier)} the budget (95 % interval {low:.2g} to {high:.2g}, {self.seeds} seeds)."
        if self.crossing is not None:
            said += f" Beyond about {self.crossing.value:.0f} the curve from scratch is better."
        return said


def times(multiplier: Interval) -> str:
    """The multiplier in words; an infinite value is only known to lie beyond the nearer end."""
    if multiplier.value == math.inf:
        return f"more than {multiplier.low:.2g} times"
    return f"less than {multiplier.high:.2g} times" if multiplier.value == 0 else f"{multiplier.value:.2g} times"


def benefit(
    transfer: Sequence[Sequence[float]],
    scratch: Sequence[Sequence[float]],
    budgets: Sequence[float],
    *,
    threshold: float | None = None,
    higher_is_better: bool = True,
) -> Benefit:
    r"""Compare the learning curves of a transfer with the curves of training from scratch, paired by seed.

    With scores :math:`f_i(x)` of the transfer and :math:`g_i(x)` of scratch for seed i, linear between the budgets on
    the axis :math:`x = \log_2` budget, from a to b, and :math:`\hat\beta` a least-squares slope:

    .. math::
        \text{jumpstart} = \overline{f - g}\,(x_1), \quad \text{end gap} = \overline{f - g}\,(b), \quad
        \text{slope gap} = \hat\beta(\bar f) - \hat\beta(\bar g), \\
        \text{area gap} = \frac{1}{b - a} \int_a^b (\bar f - \bar g) \, dx, \quad
        \text{transfer ratio} = \int_a^b (\bar f - \bar g) \, dx \Big/ \int_a^b \bar g \, dx, \\
        \text{octaves} = \Bigl\{\delta : \int_a^{b - \delta} \bar f(x) \, dx = \int_{a + \delta}^b \bar g(x) \, dx
        \Bigr\}, \quad \text{time} = \min\{x : \bar f(x) \ge \text{threshold}\}

    `octaves` shifts the curve of the transfer along the axis until the areas under both curves are equal where the
    shifted curves overlap. Every number is the root or the mean of something linear in the scores of a seed. The
    intervals are therefore intervals of Student's t with one value per seed: directly (the gaps), by Fieller (the
    ratio), or as all values that a t test does not refuse (octaves, times, crossing). No bootstrap: five seeds are too
    few for one. The interval of the speed-up joins the two times (Zou and Donner).

    A budget of 0 counts for the jumpstart alone. An infinite end says that the budgets do not show where the interval
    ends; octaves are looked for up to three quarters of the range of the budgets.

    Args:
        transfer, scratch: ``(seeds, budgets)`` scores. Row i of both has the same seed, split and search.
        budgets: numbers of labels or of steps, growing; a multiplicative grid is the usual choice, with at least six
            budgets.
        threshold: a level, chosen before looking at the curves. None: no times.
        higher_is_better: of the scores.

    Raises:
        ValueError: other shapes, budgets that do not grow, fewer than two positive budgets, scores that are not finite.

    Taylor and Stone, Transfer Learning for Reinforcement Learning Domains: A Survey, 2009,
    https://jmlr.org/papers/v10/taylor09a.html; Fieller, Some problems in interval estimation, 1954; Zou and Donner,
    Construction of confidence limits about effect measures, 2008, https://doi.org/10.1002/sim.3095

    >>> found = benefit([[0.6, 0.7, 0.8]] * 3, [[0.5, 0.6, 0.7]] * 3, [10, 20, 40])
    >>> round(found.octaves.value, 2), round(found.multiplier.value, 2)
    (1.0, 2.0)
    """
    check(or_none(NUMBER), threshold=threshold)
    sign = 1.0 if higher_is_better else -1.0
    f, g, n = sign * numpy.asarray(transfer, float), sign * numpy.asarray(scratch, float), numpy.asarray(budgets, float)
    doors(f, g, n)
    jumpstart, end_gap = mean_interval(f[:, 0] - g[:, 0]), mean_interval(f[:, -1] - g[:, -1])
    f, g, x = f[:, n > 0], g[:, n > 0], numpy.log2(n[n > 0])
    width, centred = x[-1] - x[0], x - x.mean()
    area_f, area_g = (areas(curves, x, x[-1:])[:, 0] / width for curves in (f, g))
    octaves = gap_in_octaves(f, g, x)
    times_, speed_up = None, None
    if threshold is not None:
        logs = [time_to(sign * threshold, curve, x) for curve in (f, g)]
        speed_up = powers(difference_of_times(logs[0], logs[1], f, g, x))
        times_ = powers(logs[0]), powers(logs[1])
    return Benefit(
        jumpstart,
        end_gap,
        slope_gap=mean_interval((f - g) @ centred / (centred @ centred)),
        area_gap=mean_interval(area_f - area_g),
        octaves=octaves,
        multiplier=powers(octaves),
        transfer_ratio=ratio(area_f - area_g, sign * area_g),
        threshold=threshold,
        time_to_threshold=times_,
        speed_up=speed_up,
        crossing=crossing(f - g, x),
        budgets=(float(n[0]), float(n[-1])),
        seeds=len(f),
    )


def doors(f: numpy.ndarray, g: numpy.ndarray, n: numpy.ndarray) -> None:
    if f.ndim != 2 or f.shape != g.shape or n.shape != f.shape[1:] or len(f) == 0:
        raise ValueError(
            "`transfer` and `scratch` must be (seeds, budgets) scores with one column for each of `budgets`, "
            f"got shapes {f.shape}, {g.shape} and {n.shape}: leave out a seed that lacks a budget."
        )
    if not (numpy.isfinite(f).all() and numpy.isfinite(g).all()):
        raise ValueError("`transfer` and `scratch` must be finite, got NaN or infinity: leave out the failed seeds.")
    if n[0] < 0 or (numpy.diff(n) <= 0).any() or (n > 0).sum() < 2:
        raise ValueError(
            f"`budgets` must grow, from 0 or more, with at least two above 0, got {n.tolist()}: sort the columns."
        )


def quantile(seeds: int) -> float:
    """Student's two-sided 95 % quantile for the mean of one value per seed."""
    from scipy.special import stdtrit

    return float(stdtrit(seeds - 1, 0.975)) if seeds > 1 else math.inf


def statistic(values: numpy.ndarray) -> numpy.ndarray:
    """How far the mean over the seeds, the first axis, lies inside of a 95 % t test of 0: at most 0 is not refused."""
    seeds = len(values)
    if seeds == 1:
        return numpy.full(values.shape[1:], -math.inf)
    return numpy.abs(values.mean(0)) - quantile(seeds) * values.std(0, ddof=1) / math.sqrt(seeds)


def not_refused(value: float, x: numpy.ndarray, outside: numpy.ndarray) -> Interval:
    """The estimate with the first and the last x where `outside` is at most 0. An end of the axis makes the end of the
    interval infinite: the values beyond are not known."""
    kept = numpy.flatnonzero(outside <= 0)
    if len(kept) == 0:
        return Interval(value, value, value)
    ends = []
    for inner, step in ((kept[0], -1), (kept[-1], 1)):
        outer = inner + step
        if 0 <= outer < len(x):
            share = outside[inner] / (outside[inner] - outside[outer])
            ends.append(float(x[inner] + share * (x[outer] - x[inner])))
        else:
            ends.append(step * math.inf)
    return Interval(value, min(ends[0], value), max(ends[1], value))


def roots(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """Where y, linear between the points x, falls from above 0 to 0 or below."""
    at = numpy.flatnonzero((y[:-1] > 0) & (y[1:] <= 0))
    return x[at] + (x[at + 1] - x[at]) * y[at] / (y[at] - y[at + 1])


def areas(curves: numpy.ndarray, x: numpy.ndarray, at: numpy.ndarray) -> numpy.ndarray:
    """The area under each curve from the first budget to each of the points `at`: ``(seeds, points)``."""
    steps = numpy.diff(x)
    whole = numpy.concatenate(
        [numpy.zeros((len(curves), 1)), ((curves[:, 1:] + curves[:, :-1]) / 2 * steps).cumsum(1)], 1
    )
    k = numpy.clip(numpy.searchsorted(x, at, side="right") - 1, 0, len(steps) - 1)
    part = at - x[k]
    rise = (curves[:, k + 1] - curves[:, k]) / steps[k]
    return whole[:, k] + part * (curves[:, k] + rise * part / 2)


def gap_in_octaves(f: numpy.ndarray, g: numpy.ndarray, x: numpy.ndarray) -> Interval:
    """The shift of f that makes the areas equal where the curves overlap."""
    most = 0.75 * (x[-1] - x[0])
    shift = numpy.linspace(-most, most, GRID)
    right, left = numpy.maximum(shift, 0), numpy.maximum(-shift, 0)
    gap = (
        areas(f, x, x[-1] - right) - areas(f, x, x[0] + left) - areas(g, x, x[-1] - left) + areas(g, x, x[0] + right)
    ) / (x[-1] - x[0] - right - left)
    mean = gap.mean(0)
    found = roots(shift, mean)
    if len(found):
        return not_refused(float(found[numpy.abs(found).argmin()]), shift, statistic(gap))
    if not ((mean > 0).all() or (mean < 0).all()):
        return NOTHING  # the curves do not rise: no shift makes a difference
    sign = math.copysign(1.0, mean[0])
    kept = shift[statistic(gap) <= 0]
    nearest = float(sign * min(sign * kept)) if len(kept) else sign * most
    return Interval(sign * math.inf, nearest, math.inf) if sign > 0 else Interval(-math.inf, -math.inf, nearest)


def time_to(level: float, curves: numpy.ndarray, x: numpy.ndarray) -> Interval:
    """The first x at which the rising fit of the mean curve reaches the level."""
    from sklearn.isotonic import isotonic_regression

    grid = numpy.linspace(x[0], x[-1], GRID)
    rising = numpy.interp(grid, x, isotonic_regression(curves.mean(0)))
    value = float(numpy.interp(level, *first_rise(rising, grid))) if rising[-1] >= level else math.inf
    outside = statistic(along(curves, x, grid) - level)
    if (outside <= 0).any():
        return not_refused(value, grid, outside)
    return Interval(value, -math.inf, value) if value < math.inf else Interval(value, float(x[-1]), value)


def first_rise(y: numpy.ndarray, x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The points of a rising curve without the later points of a level stretch, to read x from y."""
    kept = numpy.concatenate([[True], numpy.diff(y) > 0])
    return y[kept], x[kept]


def along(curves: numpy.ndarray, x: numpy.ndarray, at: numpy.ndarray) -> numpy.ndarray:
    """The curves at the points `at`, linear between the budgets: ``(seeds, points)``."""
    return numpy.stack([numpy.interp(at, x, curve) for curve in curves])


def difference_of_times(
    first: Interval, second: Interval, f: numpy.ndarray, g: numpy.ndarray, x: numpy.ndarray
) -> Interval:
    """The time of g minus the time of f from the intervals of both and the correlation of the curves at both times."""
    if math.isinf(first.value) or math.isinf(second.value):
        value = second.value - first.value
        return Interval(value, second.low - first.high, second.high - first.low)
    value = second.value - first.value
    a, b = along(f, x, numpy.array([first.value]))[:, 0], along(g, x, numpy.array([second.value]))[:, 0]
    moving = len(f) > 1 and a.std() > 0 and b.std() > 0
    r = float(numpy.corrcoef(a, b)[0, 1]) if moving else 0.0

    def half(p: float, q: float) -> float:
        return math.sqrt(p * p + q * q - 2 * r * p * q) if math.isfinite(p + q) else math.inf

    low = value - half(second.value - second.low, first.high - first.value)
    return Interval(value, low, value + half(second.high - second.value, first.value - first.low))


def crossing(gap: numpy.ndarray, x: numpy.ndarray) -> Interval | None:
    """The last budget at which the mean gap falls below 0 for good."""
    grid = numpy.linspace(x[0], x[-1], GRID)
    fine = along(gap, x, grid)
    found = roots(grid, fine.mean(0))
    if len(found) == 0 or gap[:, -1].mean() >= 0:
        return None
    return powers(not_refused(float(found[-1]), grid, statistic(fine)))


def ratio(a: numpy.ndarray, b: numpy.ndarray) -> Interval:
    r"""Return mean(a) / mean(b) with the interval of Fieller: all ratios for which a t test of a - ratio b is not
    refused. The interval is infinite where the mean of b does not differ from 0."""
    value = float(a.mean() / b.mean()) if b.mean() else math.nan
    if len(a) == 1:
        return Interval(value, -math.inf, math.inf)
    q = quantile(len(a)) ** 2 / len(a)
    (aa, ab), (_, bb) = numpy.cov(a, b)
    A, B, C = b.mean() ** 2 - q * bb, a.mean() * b.mean() - q * ab, a.mean() ** 2 - q * aa
    if A <= 0:
        return Interval(value, -math.inf, math.inf)
    root = math.sqrt(max(B * B - A * C, 0.0))
    return Interval(value, float((B - root) / A), float((B + root) / A))


def powers(log2: Interval) -> Interval:
    """An interval on the axis of octaves as an interval of budgets."""
    return Interval(*(2.0**v for v in log2))
