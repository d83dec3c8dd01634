"""What the data of an experiment look like: enough to tell other data, in milliseconds."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import torch

from adapt.engine import rows
from adapt.randomness import seed_cpu, untouched_randomness
from adapt.report.records import Data
from adapt.streams.items import ItemForm
from adapt.streams.told import labels_told

SECONDS = 0.05  # for each data set
ROWS = 16


def marks(data: Data | None) -> dict[str, Any]:
    """Return the number of rows, numbers of a few rows, and the labels of each data set of a task as json."""
    return {} if data is None else _of(data)


def _of(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _of(part) for name, part in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return float(value) if isinstance(value, int | float) else str(value)
    try:
        count = len(value)
        return {"kind": type(value).__name__, "number of rows": float(count), **_look(value, count)}
    except TypeError:  # no data set: a function, a settings object
        return type(value).__name__


def _look(dataset: Any, count: int) -> dict[str, Any]:
    """Return numbers of a few rows. Rows that differ when read twice are left out, and rows of a slow data set."""
    found: dict[str, Any] = {}
    until = time.perf_counter() + SECONDS
    with untouched_randomness():
        for number, index in enumerate(rows.spread(count, ROWS) if count else ()):
            if number > 1 and time.perf_counter() > until:
                break
            one, other = (_numbers(dataset, index) for _ in range(2))
            if rows.close(one, other):
                found[f"row {index}"] = one
    labels = labels_told(dataset, ItemForm()) if count else None
    if isinstance(labels, torch.Tensor) and not labels.is_complex():
        found["labels"] = rows.mark(labels)
    return found


def _numbers(dataset: Any, index: int) -> list[float]:
    seed_cpu(index)
    try:
        return rows.numbers_of(dataset[index])
    except (LookupError, TypeError, ValueError):  # not numbered from 0, or of items that have no numbers
        return []
