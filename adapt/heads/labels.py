"""Missing labels, and the mean over the labels that are present.

A class of -1 is missing, and a number of NaN. A missing label counts neither in a loss nor in a score.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from losses import gather
from losses.options import WHOLE, check

MISSING = -1


def whole_numbers(labels: object, what: str, shape: str, ndim: int) -> Tensor:
    """Return class labels as int64.

    Args:
        what: the head with these labels, for the message.
        shape: the expected shape, for the message.
        ndim: the expected number of axes.

    Raises:
        ValueError: labels that are no tensor of integers or booleans with `ndim` axes.
    """
    if not isinstance(labels, Tensor):
        if isinstance(labels, Mapping):
            raise ValueError(
                f"`labels` of {what} must be {shape} integers, got a dict with the keys {sorted(map(str, labels))}: "
                "give a data set with the label of one key, or in training `multitask.task(name, head, on, label=key)`."
            )
        kind = type(labels[0]).__name__ if isinstance(labels, list) and labels else ""
        raise ValueError(
            f"`labels` of {what} must be {shape} integers, got a {type(labels).__name__}"
            f"{' of ' + kind if kind else ''}: `datasets.arrays(inputs, labels)` numbers the classes and keeps their "
            "names."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.ndim != ndim:
        remedy = "; for a class per token take heads.TokenClassifier" if (ndim, labels.ndim) == (1, 2) else ""
        if labels.ndim == ndim + 1 and labels.shape[-1] == 1:
            remedy = "; take the only column, `labels[..., 0]`"
        elif labels.ndim == ndim:
            absent = labels.is_floating_point() and bool(labels.isnan().any())
            remedy = (
                "; a missing class is -1, `labels.nan_to_num(-1).long()`"
                if absent
                else "; classes are whole numbers, `labels.long()`, and numbers to predict belong to heads.Regressor"
            )
        raise ValueError(
            f"`labels` of {what} must be {shape} integers, got shape {tuple(labels.shape)} of {labels.dtype}{remedy}."
        )
    return labels.long()


def check_range(labels: Tensor, classes: int, missing: int = MISSING, more: str = "") -> None:
    """Raise a ValueError unless all present labels lie in [0, classes). A host synchronisation on a GPU.

    Args:
        more: a further remedy, for the message.
    """
    there = labels[labels != missing]
    if not there.numel():
        return
    low, high = (int(v) for v in there.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(
            f"`labels` must be in [0, {classes}) for a head of {classes} classes, or {missing} where missing, found "
            f"{low} to {high}: give the head more classes or renumber the labels{more}."
        )


def check_missing(missing: int, classes: int) -> None:
    """Raise a ValueError unless `missing` is a whole number outside of [0, classes)."""
    check(WHOLE, missing=missing)
    if 0 <= missing < classes:
        raise ValueError(f"`missing` must be no class, got {missing} with classes 0 to {classes - 1}.")


def present(labels: Tensor, missing: int = MISSING) -> Tensor:
    """Return booleans of the shape of `labels`: True where a label is present."""
    return ~labels.isnan() if labels.is_floating_point() else labels.long() != missing


def mean_of_present(total: Tensor, there: Tensor) -> Tensor:
    """Return a sum of losses divided by the number of present labels on all ranks; 0 where no rank has a label.

    The mean of the returned values over the ranks is the mean over the labels of all ranks.

    Args:
        total: sum of the losses of the present labels of this rank.
        there: True where a label of this rank is present.
    """
    counts = gather(there.sum()[None])
    return total * len(counts) / counts.sum().clamp_min(1)


def complete(labels: Tensor, missing: int = MISSING) -> bool:
    """Whether all labels are above `missing`, as far as this is known without a wait for another rank or for a GPU."""
    if labels.device.type != "cpu" or not labels.numel() or labels.min().item() <= missing:
        return False
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1


def masked(values: Tensor, there: Tensor) -> Tensor:
    """Return `values` with 0, and a gradient of 0, where a label is missing."""
    return torch.where(there, values, 0)
