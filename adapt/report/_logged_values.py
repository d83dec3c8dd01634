"""The logged values of a run by tag."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

History = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[tuple[float, float]]]
Series = tuple[numpy.ndarray, numpy.ndarray]  # steps and values


def series_of(history: History) -> dict[str, Series]:
    """Return steps and values by tag.

    Args:
        history: ``trainer.history``, one mapping for each step with a ``"step"``; or the curves of a record,
            ``{tag: [(step, value), ...]}``.

    Raises:
        TypeError: something else.
    """
    if isinstance(history, Mapping):
        found = {str(tag): list(points) for tag, points in history.items()}
    elif isinstance(history, Sequence) and all(isinstance(row, Mapping) and "step" in row for row in history):
        found = {}
        for row in history:
            for tag, value in row.items():
                if tag != "step":
                    found.setdefault(str(tag), []).append((row["step"], value))
    else:
        raise TypeError(
            f"`history` must be `trainer.history` or curves by tag, {{tag: [(step, value), ...]}}, got a "
            f"{type(history).__name__}."
        )
    arrays = {tag: numpy.asarray(points, float).reshape(-1, 2) for tag, points in found.items()}
    return {tag: (points[:, 0], points[:, 1]) for tag, points in arrays.items()}


def last_third(series: Series) -> Series:
    """Return the points in the last third of the steps."""
    steps, values = series
    late = steps >= steps[0] + 2 / 3 * (steps[-1] - steps[0])
    return steps[late], values[late]
