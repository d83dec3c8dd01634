"""Checked conversion of arrays, or of tensors on any device, to float64 tensors on the CPU."""

from typing import Any

import numpy
import torch
from torch import Tensor


class NotFinite(ValueError):
    """NaN or infinity among a model's outputs."""


def matrix(name: str, rows: Any, columns: str) -> Tensor:
    """Return ``(n, d)`` rows as a float64 tensor on the CPU, after a check of the shape and of finite numbers."""
    # lists go through numpy: torch would round their numbers to float32
    x = (rows.detach() if isinstance(rows, Tensor) else torch.as_tensor(numpy.asarray(rows))).cpu().double()
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0:
        raise ValueError(f"`{name}` must be (n, {columns}) with n >= 1, got shape {tuple(x.shape)}.")
    if not x.isfinite().all():
        bad = int((~x.isfinite()).any(1).sum())
        raise NotFinite(
            f"`{name}` must be finite, got {bad} of {len(x)} rows with NaN or infinity: training has failed for "
            "this model; leave the model out."
        )
    return x


def logits(name: str, rows: Any) -> Tensor:
    """Return ``(n, classes)`` logits of at least two classes."""
    z = matrix(name, rows, "classes")
    if z.shape[1] < 2:
        raise ValueError(f"`{name}` must have at least 2 classes, got {z.shape[1]}; give one logit for each class.")
    return z


def numbers(name: str, values: Any) -> Tensor:
    """Return ``(n, outputs)`` predictions or labels of a regressor; ``(n,)`` becomes one column."""
    x = values.detach() if isinstance(values, Tensor) else torch.as_tensor(numpy.asarray(values))
    return matrix(name, x[:, None] if x.ndim == 1 else x, "outputs")


def features(name: str, rows: Any) -> Tensor:
    """Return ``(n, d)`` features."""
    return matrix(name, rows, "d")


def labels(name: str, classes_of_rows: Any, rows: int, classes: int) -> Tensor:
    """Return ``(rows,)`` whole numbers in [0, classes)."""
    y = torch.as_tensor(classes_of_rows).detach().cpu()
    if y.ndim != 1 or len(y) != rows or y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(
            f"`{name}` must be ({rows},) whole numbers, one for each row of the logits, got shape {tuple(y.shape)} of "
            f"{y.dtype}."
        )
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"`{name}` must be in [0, {classes}), found {int(y.min())} to {int(y.max())}.")
    return y.long()


def same_rows(first: str, a: Tensor, second: str, b: Tensor) -> None:
    if len(a) != len(b):
        raise ValueError(f"`{first}` and `{second}` must have the same rows, got {len(a)} and {len(b)}.")


def same_columns(first: str, a: Tensor, second: str, b: Tensor) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"`{first}` and `{second}` must have the same columns, got {a.shape[1]} and {b.shape[1]}.")
