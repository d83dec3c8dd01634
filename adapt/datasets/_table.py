"""A table with columns of numbers and of names as a data set."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from adapt.datasets.labels import Labels, categories_of, from_package, to_labels
from adapt.datasets.records import column_of, read_columns, typed
from adapt.datasets.rows import Rows
from losses.options import COUNT, check, or_none


@dataclass(frozen=True)
class Preparation:
    """How the columns of a training table became numbers.

    Attributes:
        scales: mean and deviation of each column of numbers.
        categories: the values of each column of names.
        names: of the classes of the label, or None.
        regression: whether the label is a number.
    """

    scales: dict[str, tuple[float, float]]
    categories: dict[str, list[str]]
    names: list[str] | None
    regression: bool

    def prepared(self, raw: Any) -> Rows:
        """Return a table as a data set without labels.

        Args:
            raw: a table as in :func:`table`; or one row, a dict from names of columns to values.
        """
        if isinstance(raw, Mapping) and all(v is None or isinstance(v, str | int | float) for v in raw.values()):
            raw = {name: [value] for name, value in raw.items()}
        return table(raw, statistics=self)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        kept = {"scales": self.scales, "categories": self.categories}
        return "adapt.datasets.Preparation", kept | {"names": self.names, "regression": self.regression}

    @property
    def columns(self) -> list[str]:
        """The names of the columns of the inputs."""
        return [*self.scales, *(f"{name}={value}" for name, values in self.categories.items() for value in values)]


def table(
    data: Any,
    label: str | None = None,
    *,
    statistics: Rows | Preparation | None = None,
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    regression: bool = False,
    missing: bool = False,
    most: int = 100,
    separator: str | None = None,
    count: int | None = None,
) -> Rows:
    r"""Return the columns of a table as float32 inputs, prepared with the training table alone.

    A column of numbers x becomes :math:`(x - \mu) / \sigma` with mean and population deviation of the training table;
    a missing number becomes 0, the mean; a column with one value becomes 0. A column of names becomes one column of 0
    and 1 for each value in the training table; a missing name is 0 in all of them.

    Args:
        data: the path of a ``.csv``, ``.tsv`` or ``.jsonl`` file, a pandas DataFrame, or a dict of columns. A column of
            texts is a column of numbers where every present text is a number; an empty field and ``NA`` are missing.
        label: name of the column of labels; None for inputs alone. Texts, integers and numbers are treated as in
            :func:`arrays`.
        statistics: the result for the training table: the new table is prepared with the means, deviations, values and
            class names of the training table, and nothing is learned from the new table. Further columns are ignored.
            None makes the statistics from `data`: give the rows to train on alone.
        drop: columns to leave out: a row number, a name, whatever knows the label. Not with `statistics`.
        categories: columns of numbers that are names (a postal code). Not with `statistics`.
        regression: ``True`` takes integer labels as numbers (a price), not as classes. Not with `statistics`.
        missing: ``True`` allows rows without a label, as in :func:`arrays`.
        most: values of one column of names; more look like texts or identities and are an error.
        separator: between two fields of a csv file; None takes a tab for ``.tsv``, else a comma.
        count: the number of rows that the table must have: a file that is cut at the end of a row looks whole. None
            takes any number.

    Returns:
        A ``TensorDataset`` with `names` of the classes, `columns` of the inputs and the `preparation`.

    A value that the training table does not have is 0 in all columns, with a warning.

    Raises:
        FileNotFoundError: no such file.
        TypeError: a column of neither numbers nor texts (a date); `statistics` that no table has made.
        ValueError: an unknown column, a column of numbers in training that has texts, infinite numbers, more than
            `most` values, a missing label, a class that the training table does not have, another number of rows than
            `count`; a torn file, with the name of the file and the line.

    >>> train = table({"age": [30, 50], "town": ["Ulm", "Bonn"], "ill": ["no", "yes"]}, "ill")
    >>> train.columns, train[0]
    (['age', 'town=Bonn', 'town=Ulm'], (tensor([-1.,  0.,  1.]), tensor(0)))
    >>> table({"age": [40], "town": ["Bonn"]}, statistics=train)[0]
    (tensor([0., 1., 0.]),)
    """
    if not (isinstance(data, str | Path | Mapping) or from_package(data, "pandas")):
        raise TypeError(f"`data` must be a path, a DataFrame or a dict of columns, got a {type(data).__name__}.")
    check(COUNT, most=most)
    check(or_none(COUNT), count=count)
    columns = read_columns(data, separator, count) if isinstance(data, str | Path) else {str(n): data[n] for n in data}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"`data` must have columns of one length of at least 1, got lengths {sorted(lengths)}.")
    if count is not None and lengths != {count}:
        raise ValueError(f"`data` must have {count} rows, as `count` says, got {lengths.pop()}.")
    target = None if label is None else column_of(columns, label, "`label`")
    if statistics is None:
        for name in (*drop, *categories):
            column_of(columns, name, "every name in `drop` and `categories`")
        inputs = {name: typed(c) for name, c in columns.items() if name != label and name not in drop}
        scales, values = _scales(inputs, categories), _values(inputs, categories, most)
        labels = None if target is None else _labels(target, None, regression, missing)
        number = labels is not None and labels.values.is_floating_point()
        preparation = Preparation(scales, values, labels and labels.names, number)
    else:
        if drop or categories or regression:
            raise ValueError("`drop`, `categories` and `regression` come from `statistics`: leave them out.")
        preparation = _preparation(statistics)
        needed = [*preparation.scales, *preparation.categories]
        inputs = {name: typed(column_of(columns, name, "every column of `statistics`")) for name in needed}
        labels = None
        if target is not None:
            labels = _labels(target, preparation.names, preparation.regression, missing)
    if not inputs:
        raise ValueError(f"`data` must have a column of inputs beside the label, found the columns {list(columns)}.")
    x = torch.from_numpy(numpy.column_stack(_prepared(inputs, preparation)).astype("float32"))
    y, classes = labels or (None, preparation.names)
    return Rows(x, y, names=classes, columns=preparation.columns, preparation=preparation)


def _preparation(statistics: Any) -> Preparation:
    if isinstance(statistics, Preparation):
        return statistics
    if isinstance(statistics, Rows) and isinstance(statistics.preparation, Preparation):
        return statistics.preparation
    raise TypeError(
        f"`statistics` must be the result of `datasets.table` for the training table, got a "
        f"{type(statistics).__name__}: `train = datasets.table(...)` first."
    )


def _labels(column: Any, names: list[str] | None, regression: bool, missing: bool) -> Labels:
    """Return labels: numbers for a regression, else as the values are."""
    target = typed(column, label=True)
    if regression:
        try:
            numbers = numpy.array([numpy.nan if v is None else v for v in target.tolist()], "float32")
        except ValueError as error:
            raise ValueError("`label` must be a column of numbers for a regression, found texts.") from error
        return to_labels(numbers, missing=missing, what="`label`")
    if names is not None and not set(names) <= {str(i) for i in range(len(names))}:
        target = numpy.array([None if v is None or v != v else str(v) for v in target.tolist()], object)
    return to_labels(target, names or categories_of(column), missing=missing, what="`label`")


def _is_number(name: str, column: numpy.ndarray, categories: Sequence[str]) -> bool:
    """Return whether a column is one of numbers, after a look at the values."""
    if column.dtype.kind in "biuf" and name not in categories:
        if numpy.isinf(column.astype("float64")).any():
            raise ValueError(f"column `{name}` holds infinite numbers; a missing number is an empty field or NaN.")
        return True
    wrong = next((v for v in column.tolist() if v is not None and not isinstance(v, str | int | float)), None)
    if wrong is not None:
        raise TypeError(
            f"column `{name}` must hold numbers or texts, found a {type(wrong).__name__}: make numbers of the column, "
            "or leave it out with `drop`."
        )
    return False


def _scales(inputs: Mapping[str, numpy.ndarray], categories: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return mean and deviation of each column of numbers; a deviation of 0 where a column says nothing."""
    scales = {}
    for name, column in inputs.items():
        if _is_number(name, column, categories):
            x = column.astype("float64")
            x = x[~numpy.isnan(x)]
            varies = len(x) > 0 and x.max() > x.min()  # the deviation of a constant column may be a rounding error
            scales[name] = (float(x.mean()), float(x.std())) if varies else (0.0, 0.0)
    return scales


def _values(inputs: Mapping[str, numpy.ndarray], categories: Sequence[str], most: int) -> dict[str, list[str]]:
    """Return the sorted values of each column of names."""
    values = {}
    for name, column in inputs.items():
        if not _is_number(name, column, categories):
            values[name] = sorted({str(v) for v in column.tolist() if v is not None and v == v})
            if len(values[name]) > most:
                raise ValueError(
                    f"column `{name}` must have at most {most} different values, found {len(values[name])}: leave the "
                    f'column out with `drop=["{name}"]`, or raise `most`.'
                )
    return values


def _prepared(inputs: Mapping[str, numpy.ndarray], preparation: Preparation) -> list[numpy.ndarray]:
    """Return the columns of the inputs, in the order of ``preparation.columns``."""
    out = []
    for name, (mean, deviation) in preparation.scales.items():
        column = inputs[name]
        if column.dtype.kind == "O" and any(v is not None for v in column):
            raise ValueError(f"column `{name}` must hold numbers, as in the training table; found texts.")
        x = column.astype("float64")
        out.append(numpy.nan_to_num((x - mean) / deviation) if deviation else numpy.zeros(len(x)))
    for name, values in preparation.categories.items():
        texts = [None if v is None or v != v else str(v) for v in inputs[name].tolist()]
        unknown = sorted({t for t in texts if t is not None} - set(values))
        if unknown:
            warnings.warn(
                f"column `{name}` has values that the training table does not have: {unknown[:5]}; they become 0 in "
                "all columns.",
                stacklevel=3,
            )
        out += [numpy.array([text == value for text in texts], float) for value in values]
    return out or [numpy.zeros((len(next(iter(inputs.values()))), 0))]  # columns of names without any name
