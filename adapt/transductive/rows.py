"""Checks of probabilities and labels at the door."""

from collections.abc import Sequence
from typing import Any

import numpy
from numpy import ndarray
from torch import Tensor

from adapt.fewshot.pool import finite_rows


def probability_rows(name: str, values: Any, classes: int | None = None) -> ndarray:
    """Return ``(n, classes)`` probabilities in float64 that sum to 1 in each row.

    Raises:
        ValueError: another shape, numbers that are not finite, rows that are no probabilities.
    """
    given = values if isinstance(values, Tensor | list | tuple) else numpy.ascontiguousarray(values)
    x, low, _ = finite_rows(name, given, "classes")
    p = numpy.asfortranarray(x.detach().cpu().double().numpy())  # by columns: sums of short rows are 8 times as fast
    if p.shape[1] < 2 or (classes is not None and p.shape[1] != classes):
        raise ValueError(
            f"`{name}` must have {classes or 'at least 2'} columns, one for each class, got shape {p.shape}: give the "
            "probabilities of all classes in one order."
        )
    sums = p.sum(1)
    if low < 0 or numpy.abs(sums - 1).max() > 2e-2:  # a bfloat16 row of 1,000 classes is off by 0.01
        raise ValueError(
            f"`{name}` must be at least 0 and sum to 1, got {low:.3g} as least number and rows that sum to "
            f"{sums.min():.3g} to {sums.max():.3g}: pass the softmax of the logits."
        )
    return p / sums[:, None]


def class_numbers(name: str, values: Any, rows: int, classes: int, names: Sequence[Any] | None = None) -> ndarray:
    """Return ``(rows,)`` numbers of classes; -1 is a missing label.

    Args:
        names: the name of each column, where the labels are names.

    Raises:
        ValueError: another number of labels, labels that are no class.
    """
    y = values.detach().cpu().numpy() if isinstance(values, Tensor) else numpy.asarray(values)
    if y.shape != (rows,):
        raise ValueError(f"`{name}` must have one label for each of {rows} rows, got shape {y.shape}.")
    if names is not None:
        known = [n.item() if isinstance(n, numpy.generic) else n for n in names]
        if len(known) != classes or len(set(known)) < classes:
            raise ValueError(f"`classes` must name the {classes} columns, each with another name, got {known[:5]}.")
        place = {n: k for k, n in enumerate(known)}
        if strangers := [v for v in y.tolist() if v not in place][:3]:
            raise ValueError(f"`{name}` must be among the `classes` {known[:5]}, found {strangers}.")
        return numpy.array([place[v] for v in y.tolist()], dtype=numpy.int64)
    if y.dtype.kind not in "biuf" or (y.dtype.kind == "f" and not (numpy.mod(y, 1) == 0).all()):
        raise ValueError(
            f"`{name}` must be whole numbers of classes, got {y.dtype}: give `classes`, the name of each column, where "
            "labels are names, and -1 for a missing label."
        )
    y = y.astype(numpy.int64)
    if len(y) and (y.min() < -1 or y.max() >= classes):
        raise ValueError(f"`{name}` must be in [0, {classes}), or -1 where missing, found {y.min()} to {y.max()}.")
    return y
