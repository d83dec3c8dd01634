"""What a model reads: batches of the user, and the preparation and the form of the data of a run."""

from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset

from adapt.datasets._arrays import tensor_of
from adapt.protocols import IsPrepared, Prepares, Source, offers
from adapt.randomness import untouched_randomness
from adapt.streams import Batch, Stream
from adapt.streams.items import ItemForm


class BatchRows:
    """The rows of a batch: a tree of tensors, and of lists with one entry per row."""

    def __init__(self, batch: Any, form: Any):
        self.batch = _tensors(batch)
        shape = form.get("shape") if isinstance(form, Mapping) else None
        if isinstance(self.batch, Tensor) and shape is not None and self.batch.ndim != len(shape) + 1:
            raise ValueError(
                f"`x` must be a batch of {len(shape) + 1} axes like (n, {', '.join(map(str, shape))}), got "
                f"{tuple(self.batch.shape)}: one row alone is `x[None]`."
            )
        self.count = _count(self.batch)
        if self.count == 0:
            raise ValueError("`x` has no rows: there is nothing to predict.")

    def part(self, start: int, end: int) -> Batch:
        return Batch(_slice(self.batch, start, end), None, torch.arange(start, end))


def _tensors(batch: Any) -> Any:
    if isinstance(batch, numpy.ndarray):
        return tensor_of(batch, "`x`")
    if isinstance(batch, Mapping):
        return {k: _tensors(v) for k, v in batch.items()}
    if isinstance(batch, tuple) and type(batch) is tuple:
        return tuple(_tensors(v) for v in batch)
    return batch


def _count(batch: Any) -> int:
    while isinstance(batch, Mapping | tuple):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    return len(batch)


def _slice(batch: Any, start: int, end: int) -> Any:
    if isinstance(batch, list):
        return batch[start:end]
    if isinstance(batch, Mapping):
        return {k: _slice(v, start, end) for k, v in batch.items()}
    if isinstance(batch, tuple):
        parts = [_slice(v, start, end) for v in batch]
        return tuple(parts) if type(batch) is tuple else type(batch)(*parts)
    return batch[start:end]


def preparation_of(value: Any) -> Prepares | None:
    """Return the preparation of a data set, also of a part of a data set; None where there is none.

    A preparation is returned as it is. Of several data sets behind each other all must have the same preparation.
    """
    if offers(value, IsPrepared):
        return value.preparation
    if isinstance(value, ConcatDataset):
        found = [preparation_of(part) for part in value.datasets]
        return found[0] if all(one == found[0] for one in found) else None
    if offers(value, Prepares):
        return value
    whole = getattr(value, "dataset", None)  # a Subset, or any other part of a data set
    return None if whole is None else preparation_of(whole)


def first_inputs(dataset: Any, form: ItemForm) -> Any:
    """Return the inputs of the first two rows as a batch; None where they do not make a batch."""
    with untouched_randomness():  # a data set may draw
        items = [dataset[i % len(dataset)] for i in range(2)]
    try:
        return form.batch(items, [form.split(item)[0] for item in items], labels=False)[0]
    except (TypeError, ValueError, RuntimeError):  # items that need a `collate`, which is not known here
        return None


def of_streams(streams: Mapping[str, Source], stream: str | None, form: ItemForm) -> tuple[Any, Prepares | None]:
    """Return a small batch of inputs, and the preparation of the data of `stream`.

    Without a name: the inputs of the first stream, and the preparation that all data with a preparation share.
    """
    known = {name: s.dataset for name, s in streams.items() if isinstance(s, Stream)}
    chosen = [known[stream]] if stream in known else list(known.values())
    found = [p for p in map(preparation_of, chosen) if p is not None]
    shared = found[0] if found and all(p == found[0] for p in found) else None
    return (first_inputs(chosen[0], form) if chosen else None), shared


def precision_of(autocast: torch.autocast | None) -> str:
    """Return the name of a precision."""
    return "float32" if autocast is None else "bf16"
