"""Checks of the arguments of an experiment, before anything is written."""

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from adapt.protocols import MapStyle, offers
from adapt.report.records import Cell, Data
from losses.options import COUNT, FROM_0, check


def methods_of(methods: Any) -> dict[str, Callable[[Cell], Any]]:
    """Return the methods by name."""
    if not isinstance(methods, Mapping) or not methods:
        raise ValueError("`methods` must be a mapping from names to functions of a cell, with at least one method.")
    for name, function in methods.items():
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"`methods` must have names that are texts, got {name!r}.")
        if not callable(function):
            raise TypeError(
                f"`methods[{name!r}]` must be a function of a cell, got a {type(function).__name__}: write "
                "`lambda cell: ...`."
            )
    return dict(methods)


def seeds_of(seeds: Any) -> list[int]:
    """Return the numbers of the seeds."""
    if not isinstance(seeds, Collection):
        check(COUNT, "at least 5 seeds show a difference", seeds=seeds)
        return list(range(seeds))
    return _distinct("seeds", seeds, FROM_0)


def budgets_of(budgets: Any) -> list[int | None]:
    """Return the budgets; the budget None where the grid has no budgets."""
    return [None] if budgets is None else [*_distinct("budgets", budgets, COUNT)]


def _distinct(option: str, values: Any, rule: Any) -> list[int]:
    values = list(values) if isinstance(values, Collection) else [values]
    for value in values:
        check(rule, **{option: value})
    if not values or len(set(values)) < len(values):
        raise ValueError(
            f"`{option}` must be different numbers, at least one, got {values}: pairs need each number once."
        )
    return [int(value) for value in values]


def tasks_of(data: Any) -> dict[str, Data | None]:
    """Return the data by task; the task ``""`` where the grid has no tasks."""
    tasks = {"": data} if data is None or isinstance(data, Data) else data
    if not isinstance(tasks, Mapping) or not tasks:
        raise TypeError(f"`data` must be a `report.Data`, or one for each task by name, got a {type(data).__name__}.")
    for name, rows in tasks.items():
        if not isinstance(name, str) or not (rows is None or isinstance(rows, Data)):
            raise TypeError(
                f"`data` must hold a `report.Data` under the name of each task, got a {type(rows).__name__} under "
                f"{name!r}."
            )
        if rows is not None:
            _check_data(rows, f"`data[{name!r}]`" if name else "`data`")
    return dict(tasks)


def _check_data(data: Data, what: str) -> None:
    for part, rows in (("test", data.test), ("source", data.source), ("target", data.target)):
        if rows is not None and not (offers(rows, MapStyle) and len(rows)):
            raise ValueError(f"`{part}` of {what} must be a data set with rows, got a {type(rows).__name__} without.")
    for kind, groups in data.groups.items():
        count = 0 if data.test is None else len(data.test)
        if len(groups) != count:
            raise ValueError(
                f"`groups[{kind!r}]` of {what} must have one entry for each of the {count} test rows, got "
                f"{len(groups)}."
            )


def settings_of(settings: Any) -> dict[str, Any]:
    """Return settings as json.

    Raises:
        TypeError: settings other than a mapping or a dataclass, and values other than numbers, texts and lists.
    """
    if settings is None:
        return {}
    plain = dataclasses.asdict(settings) if dataclasses.is_dataclass(type(settings)) else settings
    try:
        if not isinstance(plain, Mapping):
            raise TypeError(f"a {type(settings).__name__}")
        return json.loads(json.dumps(dict(plain), default=_plain))
    except TypeError as error:
        raise TypeError(
            f"`settings` must be a mapping or a dataclass of numbers, texts and lists, got {error}: a folder goes on "
            "with the same settings alone, so settings must be comparable."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, int | float) or type(value).__module__ == "numpy":
        return value.item()
    raise TypeError(f"a {type(value).__name__}")


def check_known(option: str, names: Any, methods: Collection[str]) -> None:
    """Raise unless all names are names of methods."""
    if unknown := [name for name in names if name not in methods]:
        raise ValueError(f"`{option}` must be among the methods {', '.join(methods)}, got {unknown[0]!r}.")
