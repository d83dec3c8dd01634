"""Checked rows for clustering: features as float64 arrays, labels as numbers."""

from typing import Any

import numpy
from torch import Tensor


def feature_rows(features: Any, least: int = 2) -> numpy.ndarray:
    """Return ``(n, d)`` finite features as float64, divided by the largest size: clusters do not depend on the scale.

    Raises:
        ValueError: another shape, fewer than `least` rows, NaN or infinity.
    """
    x = features.detach().cpu().double().numpy() if isinstance(features, Tensor) else numpy.asarray(features, float)
    if x.ndim != 2 or x.shape[0] < least or x.shape[1] == 0:
        raise ValueError(
            f"`features` must be (n, d) with n >= {least}, got shape {x.shape}: give the features of an encoder, "
            "`engine.features(encoder, dataset).tensors[0]`."
        )
    bad = int((~numpy.isfinite(x)).any(1).sum())
    if bad:
        raise ValueError(f"`features` must be finite, got {bad} of {len(x)} rows with NaN or infinity: leave them out.")
    largest = numpy.abs(x).max()
    return x / largest if largest > 0 else x


def class_rows(name: str, labels: Any) -> numpy.ndarray:
    """Return ``(n,)`` numbers of the classes of texts or whole numbers; -1 says that a label is missing.

    Raises:
        ValueError: another shape, no row, NaN, or numbers that are not whole.
    """
    y = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else numpy.asarray(labels)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"`{name}` must be (n,) with one class for each row, got shape {y.shape}.")
    if y.dtype.kind not in "biufUS" and not all(isinstance(v, str) for v in y):
        raise ValueError(f"`{name}` must be texts or whole numbers, got {y.dtype}.")
    if y.dtype.kind == "f" and not (y == numpy.round(y)).all():
        raise ValueError(f"`{name}` must be texts or whole numbers, got other numbers or NaN: -1 says missing.")
    missing = y == -1 if y.dtype.kind in "if" else numpy.zeros(len(y), bool)
    numbers = numpy.unique(y.astype(str), return_inverse=True)[1]
    return numpy.where(missing, -1, numbers)
