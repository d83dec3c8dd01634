"""Numbers as a page shows them: percent and points for shares, natural units for everything else."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from adapt.report.interval import Interval

SHARES = ("accuracy", "f1", "precision", "recall", "score")  # words in the names of metrics that are shares
NONE = "-"


@dataclass(frozen=True)
class Units:
    """The form of the values of a metric in texts and tables."""

    metric: str
    percent: bool
    higher_is_better: bool = True

    @property
    def heading(self) -> str:
        return f"{self.metric} %" if self.percent else self.metric

    @property
    def points(self) -> str:
        """The unit of a difference, to stand behind a number."""
        return " points" if self.percent else ""

    @property
    def comma_points(self) -> str:
        """The unit of a difference, to stand in a heading."""
        return ", points" if self.percent else ""

    def value(self, value: float, sign: str = "") -> str:
        if value is None or not math.isfinite(value):
            return NONE
        return f"{100 * value:{sign}.1f}" if self.percent else number(value, sign)

    def change(self, value: float) -> str:
        return self.value(value, "+")

    def interval(self, low: float, high: float, sign: str = "+") -> str:
        return f"{self.value(low, sign)} to {self.value(high, sign)}" if math.isfinite(low) else "one seed: none"

    def estimate(self, found: Interval) -> str:
        """Return a difference with the interval."""
        known = math.isfinite(found.value) and math.isfinite(found.low) and math.isfinite(found.high)
        return self.change(found.value) + (f" ({self.interval(found.low, found.high)})" if known else "")


def units_of(metric: str, higher_is_better: bool, values: Iterable[float]) -> Units:
    """Return percent for shares in [0, 1] with higher as better, and natural units for all other metrics."""
    share = higher_is_better and any(word in metric.lower() for word in SHARES) and all(0 <= v <= 1 for v in values)
    return Units(metric, share, higher_is_better)


def number(value: float | None, sign: str = "") -> str:
    """Return three digits of a number.

    >>> number(12345.6), number(0.01234), number(-3.0, "+"), number(None)
    ('12,346', '0.0123', '-3', '-')
    """
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def chance(p: float) -> str:
    """Return a p-value.

    >>> chance(0.0123), chance(1e-9)
    ('0.012', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def ratio(found: Interval) -> str:
    """Return a ratio with the interval; an infinite end is left open.

    >>> ratio(Interval(2.0, 1.5, math.inf)), ratio(Interval(math.inf, 2.0, math.inf))
    ('2.0 (1.5 and more)', 'more than 2')
    """
    value, low, high = found
    if not math.isfinite(value):
        return f"more than {low:.2g}" if value > 0 and low > 0 and math.isfinite(low) else NONE
    ends = [f"{low:.1f} to {high:.1f}", f"{low:.1f} and more", f"up to {high:.1f}", ""]
    shown = ends[(not math.isfinite(high)) + 2 * (low <= 0)]
    return f"{value:.1f} ({shown})" if shown else f"{value:.1f}"


def around(found: Interval | None, digits: int = 1, *, scale: float = 1.0, sign: str = "") -> str:
    """Return an estimate with the interval, and a dash for a missing estimate."""
    return NONE if found is None or not math.isfinite(found.value) else found.shown(digits, scale=scale, sign=sign)


def several(names: Iterable[str], most: int = 12) -> str:
    """Return names as words of a sentence.

    >>> several(["a", "b", "c"]), several("abcdef", most=3)
    ('a, b and c', 'a, b, c and 3 more')
    """
    given = list(names)
    if len(given) > most:
        return f"{', '.join(given[:most])} and {len(given) - most} more"
    return f"{', '.join(given[:-1])} and {given[-1]}" if len(given) > 1 else "".join(given)
