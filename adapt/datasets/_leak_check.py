"""Rows of the test that the training knows already."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.datasets._texts import TextRows
from adapt.datasets.copies import equal_rows, near_rows
from adapt.datasets.rows import Rows
from adapt.datasets.times import read_times, shown
from adapt.protocols import reads_as
from losses.options import ABOVE_0, check, or_none

TELLS = 0.995  # share of the labels, or of their variance, that one column explains alone
FEW = 20  # test rows, of which one column may tell all labels by chance
COPIES = {"same input": "equal", "near copy": "hardly differ from", "mirrored copy": "mirror"}
NONE = torch.empty(0, dtype=torch.int64)


class Leak(NamedTuple):
    """One way in which the test is known to the training.

    Attributes:
        kind: ``"same input"``, ``"near copy"``, ``"mirrored copy"``, ``"shared group"``, ``"time order"``,
            ``"label window"``, ``"column of the future"``, ``"column tells the label"`` or ``"prepared together"``.
        message: what was found, and a remedy.
        train, test: numbers of the rows concerned, ascending; empty where a column is concerned.
    """

    kind: str
    message: str
    train: Tensor
    test: Tensor

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class _Side(NamedTuple):
    """The rows of one side: a tensor ``(n, ...)``, texts, or tensors of unequal shapes."""

    inputs: Any
    labels: Tensor | None
    groups: Any

    def __len__(self) -> int:
        return len(self.inputs)


def leak_check(
    train: Any,
    test: Any,
    *,
    groups: tuple[Any, Any] | None = None,
    times: tuple[Any, Any] | None = None,
    horizon: float | timedelta = 0,
    known: Mapping[int, Any] | None = None,
    near: float | None = None,
) -> list[Leak]:
    """Return the leaks from the test to the training that can be seen in the data: an empty list is the good news.

    =========================  =========================================================================================
    kind                       what is compared
    =========================  =========================================================================================
    same input                 numbers in float32; texts without HTML entities, case and repeated white space
    near copy                  correlation of two images or windows; cosine of two standardized rows of a table, or of
                               the words and pairs of words of two texts; at least `near`
    mirrored copy              an image that equals the mirror image of another image, to `near`
    shared group               persons, patients, recordings on both sides
    time order                 rows to learn from at or after the first test row
    label window               rows before the first test row with a label that ends after the first test row
    column of the future       a column that is known after the prediction is made
    column tells the label     one column of a table gives 99.5 % of the test labels, or of their variance, by the
                               nearest training row
    prepared together          columns or channels have mean 0 and deviation 1 over both sides together, and not over
                               the training rows: the scale was learned from the test, too
    =========================  =========================================================================================

    Args:
        train, test: data sets, tensors ``(n, ...)``, arrays, or lists of texts. Labels, where a data set has labels,
            are read for one kind of leak.
        groups: of the training rows and of the test rows, any values. None takes the groups of the data sets, where
            there are groups.
        times: the time of the prediction of each training row and of each test row: numbers, or dates.
        horizon: the time from the prediction to the label, as in :func:`walk_forward`.
        known: for columns by number, how long after the time of the row the value is known: a number in the unit of
            `times`, or a ``timedelta``; negative where the value is known before. The close of New York is known 15
            hours after the close of Tokyo of the same date.
        near: the least similarity of a near copy; None takes 0.997 for numbers and 0.9 for texts, 1 looks for no near
            copies. Rows of a table with fewer than 8 columns are compared for equality alone, and so are rows of
            unequal shapes.

    Returns:
        One :class:`Leak` per kind, with the numbers of the rows. All rows of both sides are read into memory. A leak
        that leaves no trace in the data, such as a choice that saw the test labels, is not found.

    Raises:
        TypeError: sides of different kinds; times or durations that are neither numbers nor dates.
        ValueError: a side without rows; rows of different sizes; another number of groups or times than rows; `known`
            without such a column.

    >>> leaks = leak_check(["A cat sat.", "Dogs bark."], ["a  cat sat."])
    >>> [leak.kind for leak in leaks], leaks[0].train.tolist(), leaks[0].test.tolist()
    (['same input'], [0], [0])
    """
    check(or_none(ABOVE_0), near=near)
    learn, ask = _read(train, "train"), _read(test, "test")
    _check_alike(learn, ask)
    pairs = {"same input": equal_rows(learn.inputs, ask.inputs)}
    pairs |= near_rows(learn.inputs, ask.inputs, [number for _, number in pairs["same input"]], near)
    found = [_copies(kind, some, len(ask)) for kind, some in pairs.items()]
    found.append(_shared((learn.groups, ask.groups) if groups is None else groups, len(learn), len(ask)))
    if times is not None:
        found += _time_order(times, len(learn), len(ask), horizon)
    if known is not None:
        found.append(_future(learn, times, known))
    found += [_telling(learn, ask), _prepared_together(learn, ask)]
    return [leak for leak in found if leak is not None]


def _read(data: Any, what: str) -> _Side:
    if isinstance(data, TextRows):
        side = _Side(data.texts, data.labels, None)
    elif reads_as(data, Rows):
        side = _Side(data.inputs, data.labels, data.groups)
    elif reads_as(data, TensorDataset):
        side = _Side(data.tensors[0], data.tensors[1] if len(data.tensors) > 1 else None, None)
    elif isinstance(data, Tensor | numpy.ndarray):
        side = _Side(torch.as_tensor(data), None, None)
    elif isinstance(data, Sequence) and all(isinstance(row, str) for row in data):
        side = _Side(list(data), None, None)
    else:
        side = _from_items(data, what)
    if not len(side):
        raise ValueError(f"`{what}` must have at least one row.")
    return side


def _from_items(data: Any, what: str) -> _Side:
    inputs, labels = [], []
    for item in (data[i] for i in range(len(data))):
        pair = isinstance(item, tuple | list) and len(item) > 1
        inputs.append(item[0] if isinstance(item, tuple | list) else item)
        labels.append(item[1] if pair else None)
    if all(isinstance(row, str) for row in inputs):
        return _Side(inputs, None, None)
    if not all(isinstance(row, Tensor | numpy.ndarray) for row in inputs):
        raise TypeError(
            f"`{what}` must have inputs that are tensors, arrays or texts, found a {type(inputs[0]).__name__}: give "
            "the inputs that the encoder sees."
        )
    rows = [torch.as_tensor(row) for row in inputs]
    whole = all(isinstance(y, int | float | Tensor) and torch.as_tensor(y).ndim == 0 for y in labels)
    column = torch.as_tensor([torch.as_tensor(y).item() for y in labels]) if whole else None
    return _Side(torch.stack(rows) if len({row.shape for row in rows}) == 1 else rows, column, None)


def _check_alike(train: _Side, test: _Side) -> None:
    texts = [bool(isinstance(side.inputs, list) and isinstance(side.inputs[0], str)) for side in (train, test)]
    if texts[0] != texts[1]:
        raise TypeError(
            "`train` and `test` must hold inputs of one kind, got texts on one side and numbers on the other."
        )
    shapes = [side.inputs.shape[1:] for side in (train, test) if isinstance(side.inputs, Tensor)]
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        raise ValueError(
            f"`train` and `test` must have rows of one shape, got {tuple(shapes[0])} and {tuple(shapes[1])}."
        )


def _copies(kind: str, pairs: Sequence[tuple[int, int]], rows: int) -> Leak | None:
    if not pairs:
        return None
    train, test = (sorted(set(column)) for column in zip(*pairs, strict=True))
    a, b = pairs[0]
    message = (
        f"{len(test)} of {rows} test rows {COPIES[kind]} a training row (test row {b} and training row {a}): put "
        "copies on one side, with `datasets.splits(groups=...)`."
    )
    return Leak(kind, message, torch.tensor(train), torch.tensor(test))


def _shared(groups: tuple[Any, Any], rows: int, tests: int) -> Leak | None:
    if groups[0] is None or groups[1] is None:
        return None
    columns = [numpy.asarray(g.cpu() if isinstance(g, Tensor) else g) for g in groups]
    if columns[0].shape != (rows,) or columns[1].shape != (tests,):
        raise ValueError(
            f"`groups` must be one per row, ({rows},) and ({tests},), got {columns[0].shape} and {columns[1].shape}."
        )
    both = set(columns[0].tolist()) & set(columns[1].tolist())
    if not both:
        return None
    hits = [torch.tensor([i for i, g in enumerate(column.tolist()) if g in both]) for column in columns]
    names = ", ".join(map(str, sorted(both, key=str)[:3])) + (", ..." if len(both) > 3 else "")
    return Leak(
        "shared group", f"{len(both)} groups are on both sides ({names}), with {len(hits[1])} of {tests} test rows: "
        "split by group, with `datasets.splits(groups=...)`.", *hits,
    )  # fmt: skip


def _time_order(times: tuple[Any, Any], rows: int, tests: int, horizon: Any) -> list[Leak | None]:
    (a, unit), (b, other) = read_times(times[0], rows, "`times[0]`"), read_times(times[1], tests, "`times[1]`")
    if unit is not other:
        raise TypeError("`times` must be numbers on both sides or dates on both sides.")
    reach, start, first = unit(horizon=horizon), b.min(), torch.from_numpy((b == b.min()).nonzero()[0])
    late, window = a >= start, (a < start) & (a + reach > start)
    found: list[Leak | None] = []
    for kind, rule, what in (
        ("time order", late, "lie at or after"), ("label window", window, "have a label that ends after"),
    ):  # fmt: skip
        hit = torch.from_numpy(rule.nonzero()[0])
        message = (
            f"{len(hit)} of {rows} training rows {what} the first test row at {shown(start, unit)}: learn from the "
            "past alone, with `datasets.walk_forward(times, horizon=...)`."
        )
        found.append(Leak(kind, message, hit, first) if len(hit) else None)
    return found


def _future(train: _Side, times: Any, known: Mapping[int, Any]) -> Leak | None:
    if times is None:
        raise ValueError("`known` needs `times`: the delays are in the unit of the times.")
    unit = read_times(times[0], len(train), "`times[0]`")[1]
    columns = train.inputs.shape[1] if isinstance(train.inputs, Tensor) and train.inputs.ndim == 2 else 0
    late = []
    for column, delay in known.items():
        if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < columns:
            raise ValueError(f"`known` must name columns by number, 0 to {columns - 1}, got {column!r}.")
        if unit(True, known=delay) > 0:
            late.append(f"column {column} is known {delay} later")
    if not late:
        return None
    message = f"{', '.join(late)} than the time of the prediction: take the value of the row before, or predict later."
    return Leak("column of the future", message, NONE, NONE)


def _telling(train: _Side, test: _Side) -> Leak | None:
    if train.labels is None or test.labels is None or not isinstance(train.inputs, Tensor) or train.inputs.ndim != 2:
        return None
    if train.labels.ndim != 1 or test.labels.ndim != 1 or len(test) < FEW:
        return None
    y, truth = train.labels.cpu().double().numpy(), test.labels.cpu().double().numpy()
    classes = not (train.labels.is_floating_point() or test.labels.is_floating_point())
    spread = 1 - numpy.unique(truth, return_counts=True)[1].max() / len(truth) if classes else truth.var()
    if not spread > (0.1 if classes else 0):
        return None
    telling = []
    for column in range(train.inputs.shape[1]):
        x, z = (side.inputs[:, column].cpu().double().nan_to_num().numpy() for side in (train, test))
        said = y[_nearest(x, z)]
        right = (said == truth).mean() if classes else 1 - ((said - truth) ** 2).mean() / spread
        if right >= TELLS:
            telling.append(column)
    if not telling:
        return None
    some = ", ".join(map(str, telling[:5])) + (", ..." if len(telling) > 5 else "")
    message = (
        f"column {some} alone tells the label of the test rows: is the column made from the label, or known after it? "
        "Drop the column, or explain it."
    )
    return Leak("column tells the label", message, NONE, NONE)


def _nearest(x: numpy.ndarray, z: numpy.ndarray) -> numpy.ndarray:
    """Return for each number of `z` the place of the nearest number of `x`."""
    order = x.argsort(kind="stable")
    ranked = x[order]
    right = numpy.searchsorted(ranked, z).clip(0, len(x) - 1)
    left = (right - 1).clip(0)
    return order[numpy.where(abs(ranked[left] - z) <= abs(ranked[right] - z), left, right)]


def _prepared_together(train: _Side, test: _Side) -> Leak | None:
    tensors = isinstance(train.inputs, Tensor) and isinstance(test.inputs, Tensor)
    if not tensors or train.inputs.ndim < 2 or not train.inputs.is_floating_point():
        return None

    def standard(x: Tensor) -> bool:
        axes = (0, *range(2, x.ndim))
        mean, deviation = x.mean(axes), x.std(axes, correction=0)
        varies = deviation > 0
        close = (mean.abs() < 1e-4) & ((deviation - 1).abs() < 1e-4 + 1 / len(x))
        return bool(varies.any()) and bool(close[varies].all())

    a, b = (side.inputs.detach().cpu().double() for side in (train, test))
    if not standard(torch.cat([a, b])) or standard(a):
        return None
    message = (
        "columns have mean 0 and deviation 1 over training and test rows together: learn the scale from the training "
        "rows alone, with `datasets.standardize(train, test)`."
    )
    return Leak("prepared together", message, NONE, NONE)
