"""Times of rows and durations: numbers, or dates."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy
from torch import Tensor

from losses.options import AT_LEAST_0, NUMBER, check

NANOSECONDS = "datetime64[ns]"


def read_times(values: Any, rows: int, what: str = "`times`") -> tuple[numpy.ndarray, Callable[..., Any]]:
    """Return the times of rows as numbers, and the function that turns a duration into the same unit.

    Args:
        values: ``(rows,)`` numbers; or dates: ``datetime64``, ``datetime``, ISO strings, a column of pandas. Dates
            become nanoseconds.
        rows: the number of rows that there must be.
        what: the name of the argument, for errors.

    Raises:
        TypeError: neither numbers nor dates.
        ValueError: another number of times; a time that is missing or not finite.
    """
    times = values.cpu().numpy() if isinstance(values, Tensor) else numpy.asarray(values)
    if times.shape != (rows,):
        raise ValueError(f"{what} must be one time per row, ({rows},), got {times.shape}.")
    if times.dtype.kind in "OUSM":
        try:
            times = times.astype(NANOSECONDS)
        except (ValueError, TypeError) as error:
            raise TypeError(
                f"{what} must be numbers or dates such as 2024-01-31, found something else ({error}): convert the "
                "column first."
            ) from error
        lost = numpy.isnat(times)
    elif times.dtype.kind in "iuf":
        lost = ~numpy.isfinite(times)
    else:
        raise TypeError(f"{what} must be numbers or dates, got values of {times.dtype}: convert the column first.")
    if lost.any():
        raise ValueError(
            f"{what} must have a time for every row, {int(lost.sum())} of {rows} are missing, row "
            f"{int(lost.argmax())} first: drop these rows."
        )
    if times.dtype.kind == "M":
        return times.astype(numpy.int64), _date_unit
    # int64 keeps large whole numbers apart that float64 would join
    return times.astype(numpy.float64 if times.dtype.kind == "f" else numpy.int64), _number_unit


def _date_unit(below_0: bool = False, /, **durations: Any) -> int:
    ((name, value),) = durations.items()
    if value == 0 and not isinstance(value, bool):
        return 0
    if not isinstance(value, timedelta | numpy.timedelta64):
        raise TypeError(
            f"`{name}` must be a `datetime.timedelta` where the times are dates, got {value!r}: write "
            "`timedelta(days=5)`."
        )
    found = int(numpy.timedelta64(value).astype("timedelta64[ns]").astype(numpy.int64))
    if found < 0 and not below_0:
        raise ValueError(f"`{name}` must be at least 0, got {value!r}.")
    return found


def _number_unit(below_0: bool = False, /, **durations: Any) -> Any:
    ((name, value),) = durations.items()
    if isinstance(value, timedelta | numpy.timedelta64):
        raise TypeError(f"`{name}` must be a number where the times are numbers, got {value!r}: use the same unit.")
    check(NUMBER if below_0 else AT_LEAST_0, "in the unit of the times", **durations)
    return value


def shown(time: Any, unit: Callable[..., Any]) -> str:
    """Return a time for a message: a date, or a number."""
    if unit is _number_unit:
        return f"{time:g}" if isinstance(time, float) else str(time)
    day: date = numpy.int64(time).astype(NANOSECONDS).astype("datetime64[s]").item()
    return str(day)
