"""An estimate with its interval."""

from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate with a 95 % interval from `low` to `high`."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside of the interval.

        >>> Interval(0.2, 0.1, 0.3).excludes(0)
        True
        """
        return not self.low <= value <= self.high

    def shown(self, digits: int = 1, *, scale: float = 1.0, sign: str = "") -> str:
        """Return the estimate and the interval in words.

        Args:
            scale: 100 for percent and points.
            sign: ``"+"`` shows the sign of positive numbers.

        >>> Interval(0.2, -0.1, 0.5).shown(scale=100, sign="+")
        '+20.0 (-10.0 to +50.0)'
        """
        value, low, high = (f"{scale * v:{sign}.{digits}f}" for v in self)
        return f"{value} ({low} to {high})"
