"""Windows of a series of measurements as a data set."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adapt.datasets._arrays import tensor_of
from adapt.datasets.labels import from_package, to_labels
from adapt.datasets.rows import Rows
from losses.options import COUNT, check


def windows(
    series: Any,
    length: int,
    *,
    stride: int | None = None,
    labels: Any = None,
    groups: Any = None,
    take: str = "last",
    names: Sequence[str] | None = None,
    missing: bool = False,
) -> Rows:
    """Cut a series into windows of one length.

    Args:
        series: ``(t,)`` or ``(t, d)`` measurements in the order of time: an array, a DataFrame of numbers or a tensor.
            Several series stand behind each other, with `groups`.
        length: time steps of a window.
        stride: time steps from one window to the next; None takes `length`: no overlap.
        labels: ``(t,)``, one per time step, as in :func:`arrays`; None for windows alone.
        groups: ``(t,)`` texts or integers: the person, the machine or the recording of each time step. No window holds
            two groups. Windows of one group are not independent: split by group, and count groups in an interval.
        take: the label of a window: ``"last"``, the label of the last time step; or ``"majority"``, the most frequent
            class, and of equally frequent classes the first.
        names: of the classes, in the order of the numbers, as in :func:`arrays`.
        missing: ``True`` allows time steps without a label, as in :func:`arrays`; such time steps have no majority.

    Returns:
        A ``TensorDataset`` of ``(n, d, length)`` float32 windows, as ``Conv1d`` reads them, with `names`; `groups`
        ``(n,)`` and `group_names` where groups are given; `columns`, the names of the d columns of a DataFrame.

    The time steps at the end of a group that fill no window are left out. A group without any window gives a warning.

    Raises:
        ValueError: a length or stride below 1, a series shorter than a window, unequal lengths, an unknown `take`,
            ``"majority"`` of numbers, a missing label.

    >>> data = windows([0.0, 1, 2, 3, 4, 5, 6], 3, labels=[0, 0, 1, 1, 1, 0, 0], groups=list("aaaabbb"))
    >>> data.inputs.tolist(), data.labels.tolist(), data.groups.tolist()
    ([[[0.0, 1.0, 2.0]], [[4.0, 5.0, 6.0]]], [1, 0], [0, 1])
    """
    stride = length if stride is None else stride
    check(COUNT, length=length, stride=stride)
    if take not in ("last", "majority"):
        raise ValueError(f'`take` must be "last" or "majority", got {take!r}.')
    x = tensor_of(series, "`series`").float()
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2:
        raise ValueError(f"`series` must be (t,) or (t, d), got {tuple(x.shape)}.")
    y, classes = (None, None) if labels is None else to_labels(labels, names, missing=missing, what="`labels`")
    group, group_names = (None, None) if groups is None else to_labels(groups, what="`groups`")
    for what, column in (("labels", y), ("groups", group)):
        if column is not None and (column.ndim == 0 or len(column) != len(x)):
            raise ValueError(f"`{what}` must be one per time step, expected {len(x)}, got {tuple(column.shape)}.")
    if group is not None and (group.is_floating_point() or group.ndim != 1):
        raise ValueError(f"`groups` must be (t,) texts or integers, got {tuple(group.shape)} of {group.dtype}.")
    if y is not None and take == "majority" and (y.is_floating_point() or y.ndim != 1):
        raise ValueError('`take="majority"` needs one class per time step: numbers take "last".')
    places = _starts(len(x), group, length, stride)[:, None] + torch.arange(length)
    if y is not None:
        y = y[places[:, -1]] if take == "last" else torch.stack([_majority(part) for part in y[places]])
    columns = [str(c) for c in series.columns] if from_package(series, "pandas") and series.ndim == 2 else None
    group = None if group is None else group[places[:, 0]]
    inputs = x[places].transpose(1, 2).contiguous()
    return Rows(inputs, y, names=classes, columns=columns, groups=group, group_names=group_names)


def _starts(steps: int, group: Tensor | None, length: int, stride: int) -> Tensor:
    """Return the first time step of every window, in order."""
    ends = [steps] if group is None else [*((group.diff() != 0).nonzero()[:, 0] + 1).tolist(), steps]
    starts = [range(first, end - length + 1, stride) for first, end in zip([0, *ends], ends, strict=False)]
    short = sum(not found for found in starts)
    if short == len(starts):
        raise ValueError(f"`length` is {length}, longer than every series of {steps} time steps: take shorter windows.")
    if short:
        warnings.warn(
            f"{short} of {len(starts)} series are shorter than {length} time steps and have no window.", stacklevel=3
        )
    return torch.tensor([start for found in starts for start in found])


def _majority(labels: Tensor) -> Tensor:
    """Return the most frequent class, or -1 where every label is missing."""
    present = labels[labels >= 0]
    return present.bincount().argmax() if len(present) else labels[0]
