"""Columns of csv and json-lines files, as numbers or texts."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy

from adapt.datasets.folders import naming
from adapt.datasets.labels import categorical, categories_of, from_package

LONGEST = 1 << 21  # letters of the longest line
ABSENT = ("", "NA", "N/A", "NaN", "nan", "null")  # texts that mean: no value


def read_columns(path: str | Path, separator: str | None = None, count: int | None = None) -> dict[str, list[Any]]:
    """Return the columns of a file by name: texts of a ``.csv`` or ``.tsv`` file, values of a ``.jsonl`` file.

    Args:
        path: a csv file starts with a line of names; a line of a json-lines file is one object.
        separator: between two fields; None takes a tab for ``.tsv``, else a comma.
        count: the number of rows that the file must have; None takes any number. A file that is cut at the end of a row
            looks whole, and the number tells.

    A line has at most 2 MiB of letters, and a text field of a csv file at most 128 KiB. A table of texts takes about
    10 times the size of the file in memory.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line with another number of fields, or without a key of the first line, or with a key twice; a
            quotation mark that is not closed; another number of rows than `count`; no line at all.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected the file `{path}`, and there is none: check the path.")
    lines = path.suffix.lower() in (".jsonl", ".ndjson")
    with naming(path, "lines of json objects" if lines else "a table with a line of names"):
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel writes a mark at the start
            if lines:
                rows = [_json(line, number) for number, line in enumerate(_lines(file), 1) if line.strip()]
                names = list(rows[0]) if rows and isinstance(rows[0], dict) else []
                rows = [_values(row, names, number) for number, row in enumerate(rows, 1)]
            else:
                mark = separator or ("\t" if path.suffix.lower() == ".tsv" else ",")
                names, *rows = _rows(csv.reader(_lines(file), delimiter=mark, strict=True)) or [[]]
        wrong = [number for number, row in enumerate(rows, 1) if len(row) != len(names)]
        if wrong or not rows or len(set(names)) < len(names):
            found = f"row {wrong[0]} has {len(rows[wrong[0] - 1])} fields" if wrong else f"{len(rows)} rows"
            shown = f"{names}" if len(names) < 100 else f"{names[:5]} and more"
            raise ValueError(f"expected rows of {len(names)} different names {shown}, found {found}")
        if count is not None and len(rows) != count:
            raise ValueError(f"expected {count} rows, found {len(rows)}: is the file complete?")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file, after a look at the length of a line."""
    number = 1
    while line := file.readline(LONGEST):
        if len(line) == LONGEST:
            raise ValueError(f"line {number} has {LONGEST} letters or more, expected one row on a line")
        yield line
        number += 1


def _rows(reader: Any) -> list[list[str]]:
    """Return the rows of a csv reader; an error names the line."""
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def _json(line: str, number: int) -> Any:
    """Return the value of one line; an error names the line."""
    try:
        return json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key occurs twice among {[name for name, _ in pairs][:9]}")
    return found


def column_of(columns: Mapping[str, Any], name: str, what: str) -> Any:
    """Return the column `name`, or raise a ValueError with the names that there are."""
    if name not in columns:
        raise ValueError(
            f"{what} must be one of the columns {list(columns)}, got {name!r}: check the name, and the `separator` of "
            "a csv file."
        )
    return columns[name]


def typed(column: Any, *, label: bool = False) -> numpy.ndarray:
    """Return a column as integers or booleans, as float64 with NaN, or as objects: texts and None.

    A text of a csv file is a number where every present text of the column is a number.

    Args:
        label: ``True`` keeps integers or booleans with gaps as objects: a missing class makes no regression.
    """
    if from_package(column, "pandas"):
        if isinstance(column.dtype, numpy.dtype) and column.dtype.kind in "biuf":
            return column.to_numpy()
        if categories_of(column) is not None:
            return categorical(column)
        objects = column.to_numpy(dtype=object, copy=True)
        objects[numpy.asarray(column.isna())] = None
        column = objects
    elif isinstance(column, numpy.ndarray) and column.dtype.kind in "biuf":
        return column
    values = [None if value is None or value != value or value in ABSENT else value for value in column]
    if all(isinstance(value, bool | None) for value in values) and any(value is not None for value in values):
        return _whole(values, "bool", label)
    for convert in (int, float):
        numbers = _numbers(values, convert)
        if numbers is None:
            continue
        return numpy.array(_nan(numbers), "float64") if convert is float else _whole(numbers, "int64", label)
    return _objects(values)


def _whole(values: list[Any], dtype: str, label: bool) -> numpy.ndarray:
    """Return integers or booleans; where a value is missing, objects for labels and float64 else."""
    if None not in values:
        return numpy.array(values, dtype)
    return _objects(values) if label else numpy.array(_nan(values), "float64")


def _nan(values: list[Any]) -> list[Any]:
    return [numpy.nan if value is None else value for value in values]


def _objects(values: list[Any]) -> numpy.ndarray:
    return numpy.array([*values, None], object)[:-1]  # the None keeps numpy from looking into sequences


def _numbers(values: list[Any], convert: type) -> list[Any] | None:
    """Return the present values as numbers, or None where one of them is no number, or where none is present."""
    out = []
    for value in values:
        if isinstance(value, str):
            try:
                value = convert(value.replace("_", "x"))  # python reads 1_000 as a number
            except ValueError:
                return None
        kinds = int | numpy.integer if convert is int else int | float | numpy.number
        if isinstance(value, bool) or not isinstance(value, kinds | None):
            return None
        if convert is int and value is not None and abs(value) >= 2**63:
            return None
        out.append(value)
    return out if any(value is not None for value in out) else None


def _values(row: Any, names: Sequence[str], number: int) -> list[Any]:
    """Return the values of one json object in the order of `names`."""
    if not isinstance(row, dict) or row.keys() != set(names):
        found = list(row) if isinstance(row, dict) else type(row).__name__
        raise ValueError(f"line {number} must have the keys {list(names)}, found {found}")
    return [row[name] for name in names]
