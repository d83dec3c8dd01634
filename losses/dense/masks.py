"""What the losses of masks share: their options, their checks, and the mean over classes."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_labels
from losses.options import FROM_0, check, each

Classes = Literal["present", "all"] | Sequence[int]
Over = Literal["batch", "image"]


def check_mask(logits: Tensor, labels: Tensor, classes: Classes, over: Over) -> None:
    """Raise unless the arguments that mask losses share fit together."""
    check_dense_logits("logits", logits)
    check_labels(labels, (logits.shape[0], *logits.shape[2:]))
    if over not in ("batch", "image"):
        raise ValueError(f'`over` must be "batch" or "image", got {over!r}.')
    if isinstance(classes, str):
        if classes not in ("present", "all"):
            raise ValueError(f'`classes` must be "present", "all" or a list of class numbers, got {classes!r}.')
        return
    check(each(FROM_0), classes=classes)
    if max(classes) >= logits.shape[1]:
        raise ValueError(f"`classes` must hold numbers from 0 to {logits.shape[1] - 1}, got {list(classes)}.")


def places(logits: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """``(n, classes, places)`` logits, ``(n, places)`` labels and ``(n, places)`` weights, 1 unless given."""
    z = at_least_float32(logits).reshape(*logits.shape[:2], -1)
    y = labels.reshape(labels.shape[0], -1)
    w = torch.ones_like(z[:, 0]) if weights is None else weights.to(z.dtype).reshape(y.shape)
    return z, y, w


def anything_counts(w: Tensor, weights: Tensor | None) -> Tensor | None:
    """``(n,)``: whether an image has a place that counts, from ``(n, 1, places)`` weights; None where all do."""
    return None if weights is None else (w > 0).any(2)[:, 0]


def mean_over_classes(values: Tensor, truth: Tensor, classes: Classes) -> Tensor:
    """``(n,)`` means of ``(n, classes)`` values over the wanted classes; `truth`: the weight of each class's places."""
    if classes == "all":
        return values.mean(1)
    if classes != "present":
        return torch.stack([values[:, c] for c in classes], 1).mean(1)  # a list as an index is copied from the host
    present = truth > 0
    return torch.where(present, values, 0).sum(1) / present.sum(1).clamp_min(1)
