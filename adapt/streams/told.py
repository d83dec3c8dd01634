"""Labels and groups of all rows, told by a dataset without reading the items."""

from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset

from adapt.protocols import MapStyle, TellsGroups, TellsLabels, TellsTargets, TransformsTargets, offers, reads_as
from adapt.randomness import untouched_randomness
from adapt.streams.items import ItemForm
from adapt.streams.memory import columns
from adapt.streams.tree import stack

LABEL = Tensor | int | float | numpy.number | numpy.ndarray


def labels_told(dataset: MapStyle, form: ItemForm) -> Tensor | None:
    """Return the labels of all rows where the dataset tells the labels, else None.

    Labels are told by a dataset in memory, by a list of items, and by the attribute ``labels`` or ``targets`` of a
    dataset (without a ``target_transform``), through ``Subset`` and ``ConcatDataset``. The items of the first, the
    middle and the last row must have the same labels, else the attribute means something else and counts as absent.
    """
    told = _labels(dataset, form)
    if told is None or len(told) != len(dataset):
        return None
    with untouched_randomness():  # a dataset may draw
        rows = sorted({0, len(dataset) // 2, len(dataset) - 1})
        return told if all(_same(told[i], form.split(dataset[i])[1]) for i in rows) else None


def groups_told(dataset: Any) -> Tensor | None:
    """Return ``(n,)``, the group of each row, where the dataset has ``groups``, else None.

    A ``Subset`` has the groups of its dataset. In a ``ConcatDataset`` rows of different parts are of different groups.
    """
    if reads_as(dataset, Subset):
        whole = groups_told(dataset.dataset)
        return None if whole is None else whole[torch.as_tensor(dataset.indices, dtype=torch.long)]
    if reads_as(dataset, ConcatDataset):
        parts = [groups_told(part) for part in dataset.datasets]
        known = [numbered(part) for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        starts = torch.tensor([0, *[int(part.max()) + 1 for part in known]]).cumsum(0)
        return torch.cat([part + start for part, start in zip(known, starts[:-1], strict=True)])
    groups = dataset.groups if offers(dataset, TellsGroups) else None
    if not isinstance(groups, Tensor | numpy.ndarray | list | tuple) or len(groups) != len(dataset):
        return None
    return numbered(groups)


def numbered(values: Any) -> Tensor:
    """Return numbers of groups: whole numbers unchanged, other values (texts, say) by the order of appearance."""
    if isinstance(values, Tensor | numpy.ndarray):
        found = torch.as_tensor(values) if isinstance(values, Tensor) or values.dtype.kind in "biuf" else None
        if found is not None:
            return found
    listed = values.tolist() if isinstance(values, numpy.ndarray) else list(values)
    if all(isinstance(v, int | float) for v in listed):
        return torch.as_tensor(listed)
    numbers: dict[Any, int] = {}
    return torch.tensor([numbers.setdefault(value, len(numbers)) for value in listed])


def _labels(dataset: Any, form: ItemForm) -> Tensor | None:
    if form.label is None and form.input is None and (memory := columns(dataset)) is not None:
        return memory.take(1, torch.arange(len(dataset))) if len(memory.kinds) > 1 else None
    if reads_as(dataset, Subset):
        whole = _labels(dataset.dataset, form)
        return None if whole is None else whole[torch.as_tensor(dataset.indices, dtype=torch.long)]
    if reads_as(dataset, ConcatDataset):
        parts = [_labels(part, form) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        alike = len({(part.shape[1:], part.dtype) for part in known}) == 1
        return torch.cat(known) if alike and len(known) == len(parts) else None
    if type(dataset) in (list, tuple):  # a subclass may make its items when they are asked for
        return _as_tensor([form.split(item)[1] for item in dataset])
    if form.label is not None:
        return None
    if offers(dataset, TellsLabels):
        return _as_tensor(dataset.labels)
    if offers(dataset, TellsTargets) and not (offers(dataset, TransformsTargets) and dataset.target_transform):
        return _as_tensor(dataset.targets)
    return None


def _as_tensor(labels: Any) -> Tensor | None:
    """Return labels as a batch has the labels; None for labels that are no single tensor."""
    if isinstance(labels, Tensor) or labels is None:
        return labels
    if isinstance(labels, numpy.ndarray):
        return torch.as_tensor(labels) if labels.dtype.kind in "biuf" else None
    numbers = isinstance(labels, list | tuple) and all(isinstance(v, LABEL) for v in labels)
    shapes = {v.shape for v in labels if isinstance(v, Tensor)} if numbers else {1, 2}
    return stack(labels) if len(shapes) < 2 else None


def _same(told: Tensor, label: Any) -> bool:
    if not isinstance(label, LABEL):
        return False
    found = torch.as_tensor(label)
    return found.shape == told.shape and torch.equal(*(x.double().nan_to_num(-1.5) for x in (found, told)))
