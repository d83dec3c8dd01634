"""Labels of any kind as a tensor: classes as int64 with names, numbers as float32."""

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

MOST_CLASSES = 10_000  # integers from here on are counts or identities: no list of names is made


class Labels(NamedTuple):
    """`values`: int64 classes or float32 numbers; `names` of the classes or of the columns, or None."""

    values: Tensor
    names: list[str] | None


def to_labels(y: Any, names: Sequence[str] | None = None, *, missing: bool = False, what: str = "`y`") -> Labels:
    """Return labels as a tensor, with the names of the classes.

    Texts become the numbers of the sorted names. Integers and booleans keep the value. Numbers with a decimal point
    stay numbers.

    Args:
        y: a numpy array, a pandas Series or DataFrame, a tensor or a list.
        names: of the classes, in the order of the numbers. None takes the sorted texts, the order of a pandas
            categorical, ``["False", "True"]``, or "0" to the largest integer.
        missing: ``True`` takes rows without a label: class -1, or NaN.
        what: the argument in backticks, for the messages.

    Raises:
        TypeError: labels of mixed kinds.
        ValueError: a missing label, an unknown name, texts in several columns.
    """
    values, found = _numpy(y)
    names = None if names is None else [str(name) for name in names]
    absent = _absent(values)
    if absent.any() and not missing:
        where = numpy.argwhere(absent)[0].tolist()
        raise ValueError(
            f"{what} must have a label in every row, found {int(absent.sum())} missing, the first at {where}: "
            "leave the rows out, or pass `missing=True` for rows without a label."
        )
    kind = _kind(values, absent, what)
    if kind == "U":
        if values.ndim != 1:
            raise ValueError(f"{what} of texts must be (n,), got {values.shape}: give one column.")
        return _classes(values, absent, names or found, what)
    if kind == "f":
        numbers_ = numpy.where(absent, numpy.nan, values).astype("float32")
        return Labels(torch.from_numpy(numbers_), _of_columns(numbers_, names or found, what))
    classes = torch.from_numpy(numpy.where(absent, -1, values).astype("int64"))
    if classes.ndim != 1:
        return Labels(classes, _of_columns(classes, names or found, what))
    high = int(classes.max()) if len(classes) else -1
    if names is not None and (high >= len(names) or int(classes.min()) < -1):
        raise ValueError(
            f"{what} must be in [0, {len(names)}) for {len(names)} `names`, found {int(classes.min())} to {high}: "
            "name every class."
        )
    if names is None and kind == "b":
        names = ["False", "True"]
    elif names is None and 0 <= high < MOST_CLASSES and int(classes.min()) >= -1:
        names = [str(number) for number in range(high + 1)]
    return Labels(classes, names)


def from_package(value: object, package: str) -> bool:
    """Return whether the class of `value` comes from `package`; the package is not imported."""
    return type(value).__module__.split(".")[0] == package


def _numpy(y: Any) -> tuple[numpy.ndarray, list[str] | None]:
    """Return labels as an array, and the names that pandas has for classes or columns."""
    if isinstance(y, Tensor):
        y = y.detach().cpu()
        return (y.double() if y.is_floating_point() else y).numpy(), None  # numpy does not know bfloat16
    if not from_package(y, "pandas"):
        texts = isinstance(y, list | tuple) and any(isinstance(value, str) for value in y)
        return numpy.asarray(y, dtype=object if texts else None), None  # numpy would turn NaN into the text "nan"
    if y.ndim == 2:
        return _plain(y), [str(column) for column in y.columns]
    categories = categories_of(y)
    return (_plain(y), None) if categories is None else (categorical(y), categories)


def categories_of(column: Any) -> list[str] | None:
    """Return the names of a categorical of pandas in their order; None for any other column."""
    if not from_package(column, "pandas") or str(column.dtype) != "category":
        return None
    return [str(category) for category in _codes(column).categories]


def categorical(column: Any) -> numpy.ndarray:
    """Return the names in a categorical of pandas, row by row; None where there is no value."""
    known = numpy.array([*map(str, _codes(column).categories), None], object)
    return known[numpy.asarray(_codes(column).codes)]  # -1, the code of no value, is the last place


def _codes(column: Any) -> Any:
    return column.cat if type(column).__name__ == "Series" else column  # pandas' own two forms of a categorical


def _plain(y: Any) -> numpy.ndarray:
    """Return the values of a Series or DataFrame, with None where pandas knows no value."""
    if y.ndim == 1 and isinstance(y.dtype, numpy.dtype) and y.dtype.kind in "biuf":
        return y.to_numpy()
    values = y.to_numpy(dtype=object, copy=True)  # pandas makes floats of integers that may be missing
    values[numpy.asarray(y.isna())] = None
    return values


def _absent(values: numpy.ndarray) -> numpy.ndarray:
    if values.dtype.kind == "f":
        return numpy.isnan(values)
    if values.dtype.kind != "O":
        return numpy.zeros(values.shape, bool)
    return numpy.array([v is None or v != v for v in values.ravel()], bool).reshape(values.shape)


def _kind(values: numpy.ndarray, absent: numpy.ndarray, what: str) -> str:
    """Return "U" for texts, "b" for booleans, "i" for integers, "f" for other numbers."""
    if values.dtype.kind in "biufU":
        return values.dtype.kind.replace("u", "i")
    present = values[~absent].tolist()
    for kind, type_ in {"U": str, "b": bool | numpy.bool_, "i": numbers.Integral, "f": numbers.Real}.items():
        if values.dtype.kind == "O" and all(isinstance(value, type_) for value in present):
            return kind
    found = sorted({type(value).__name__ for value in present})
    raise TypeError(f"{what} must be all texts, all integers or all numbers, found {', '.join(found)}: convert first.")


def _classes(texts: numpy.ndarray, absent: numpy.ndarray, names: list[str] | None, what: str) -> Labels:
    """Return the numbers of texts, with -1 where a text is absent."""
    known = names or sorted({str(text) for text in texts[~absent]})
    number = {name: i for i, name in enumerate(known)}
    unknown = sorted({str(text) for text in texts[~absent]} - number.keys())
    if unknown:
        raise ValueError(f"{what} must be one of the names {known}, found {unknown}: name every class.")
    pairs = zip(texts, absent, strict=True)
    return Labels(torch.tensor([-1 if gone else number[str(text)] for text, gone in pairs], dtype=torch.int64), known)


def _of_columns(values: Any, names: list[str] | None, what: str) -> list[str] | None:
    """Return names of the columns of labels, after a look at the number of names."""
    if names is not None and (values.ndim != 2 or len(names) != values.shape[1]):
        raise ValueError(
            f"{what} of shape {tuple(values.shape)} cannot have {len(names)} `names`: names belong to classes (texts "
            "or integers), or to the columns of (n, k) labels."
        )
    return names
