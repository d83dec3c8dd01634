"""The form of the items of a dataset, and rows read item by item with keyed randomness."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapt.protocols import MapStyle
from adapt.randomness import keyed_seed, seed_cpu, untouched_randomness
from adapt.streams.batch import Batch
from adapt.streams.memory import columns
from adapt.streams.tree import field_names, is_namedtuple, stack
from adapt.streams.workers import RowError, read_by_workers

Augmentation = Callable[[Any], Any]
KEYS = 32  # calls after which an augmentation without any difference counts as a preparation


class Jointly:
    """An augmentation of input and label together: see :func:`jointly`."""

    def __init__(self, function: Callable[[Any, Any], tuple[Any, Any]]):
        self.function = function

    def __call__(self, inputs: Any, label: Any) -> tuple[Any, Any]:
        found = self.function(inputs, label)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ValueError(
                f"the function of `jointly` must return (input, label), got a {type(found).__name__}: return both."
            )
        return found


def jointly(function: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    """Return an augmentation of input and label together, for ``Stream(..., augment=jointly(function))``.

    An image is cut and its mask is cut at the same place; an image is turned and its boxes are turned.

    Args:
        function: called as ``function(input, label)``; returns the new input and the new label. The function may draw
            from the global generators of torch, numpy and python, as every augmentation.

    >>> flipped = jointly(lambda image, mask: (image.flip(-1), mask.flip(-1)))
    >>> flipped(torch.tensor([[1, 2]]), torch.tensor([[0, 1]]))
    (tensor([[2, 1]]), tensor([[1, 0]]))
    """
    if not callable(function):
        raise TypeError(
            f"`function` of `jointly` must be callable with an input and a label, got a {type(function).__name__}."
        )
    return Jointly(function)


def expect_random(augment: Augmentation | None, inputs: Any) -> None:
    """Raise a ValueError where an augmentation changes a tensor and draws nothing: evaluation must change it too.

    A random augmentation differs in the second call, most often; 32 equal calls are no chance.
    """
    if augment is None or isinstance(augment, Jointly) or not isinstance(inputs, Tensor):
        return
    found = []
    try:
        for number in range(KEYS):
            seed_cpu(keyed_seed(number, "random"))
            found.append(augment(inputs))
            if not _equal(found[-1], found[0]) or _equal(found[0], inputs):
                return
    except Exception:  # a batch will name the row and the stream
        return
    raise ValueError(
        f"`augment` must be random, got {KEYS} equal results for the first row: a preparation of rows belongs to the "
        "data set, in training and in evaluation, and `augment` is for training alone."
    )


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)


@dataclass(frozen=True)
class ItemForm:
    """Which part of an item is the label, and how items become a batch.

    Args:
        label: key of the label in items that are mappings, or name of the field in items that are namedtuples; the rest
            of the item is the input. None: items are ``(input, label)``, or the input alone.
        collate: from a list of items to a batch of the same form; None stacks inputs and labels.
        input: key or field of the input; the rest of the item, except the label, is left out.
    """

    label: str | None = None
    collate: Callable[[list[Any]], Any] | None = None
    input: str | None = None

    def split(self, item: Any) -> tuple[Any, Any]:
        """Return (input, label or None) of an item.

        Raises:
            ValueError: an item without the label that `label` names, or without the input that `input` names.
        """
        if self.label is not None or self.input is not None:
            parts = _named_parts(item)
            for option, key in (("label", self.label), ("input", self.input)):
                if key is not None and key not in parts:
                    found = f"the keys {sorted(map(str, parts))}" if parts else f"a {type(item).__name__}"
                    raise ValueError(
                        f"`{option}` names {key!r}, and an item of `dataset` has {found}: name the key of the {option}."
                    )
            label = None if self.label is None else parts[self.label]
            if self.input is not None:
                return parts[self.input], label
            return {k: v for k, v in parts.items() if k != self.label}, label
        if isinstance(item, tuple | list) and not is_namedtuple(item):
            return (item[0], item[1]) if len(item) > 1 else (item[0], None)
        return item, None

    def with_input(self, item: Any, inputs: Any) -> Any:
        """Return an item in the form of the dataset with another input; with `input`, as ``(input, label)``."""
        if self.input is not None:
            return inputs if self.label is None else (inputs, _named_parts(item)[self.label])
        if self.label is not None:
            if not isinstance(inputs, Mapping):
                raise ValueError(
                    f"an augmentation of mappings must return a mapping, got a {type(inputs).__name__}: return "
                    "`{**item, key: value}`."
                )
            return {**inputs, self.label: _named_parts(item)[self.label]}
        if isinstance(item, tuple | list) and not is_namedtuple(item):
            return (inputs, *item[1:]) if len(item) > 1 else inputs
        return inputs

    def with_label(self, item: Any, label: Any) -> Any:
        """Return an item in the form of the dataset with another label."""
        if self.label is not None:
            return {**_named_parts(item), self.label: label}
        return (item[0], label, *item[2:])

    def batch(self, items: Sequence[Any], inputs: Sequence[Any], *, labels: bool = True) -> tuple[Any, Any]:
        """Return (inputs, labels or None) of a batch.

        Args:
            items: of the dataset, in the form of the dataset.
            inputs: of the items, augmented.
            labels: whether labels are wanted.
        """
        _, label = self.split(items[0])
        if self.collate is None:
            return stack(inputs), stack([self.split(i)[1] for i in items]) if labels and label is not None else None
        found = self.collate([self.with_input(i, x) for i, x in zip(items, inputs, strict=True)])
        form = self if self.input is None else ItemForm()
        together, found_labels = (found, None) if label is None else form.split(found)
        if label is not None and found_labels is None:
            raise ValueError(
                "`collate` must return a batch in the form of the items, (inputs, labels), got a "
                f"{type(found).__name__}."
            )
        return together, found_labels if labels else None


def split(item: Any) -> tuple[Any, Any]:
    """Return (input, label or None) of an item ``(input, label)``, or of an input alone."""
    return ItemForm().split(item)


def _named_parts(item: Any) -> Mapping[str, Any]:
    if is_namedtuple(item):
        return dict(zip(field_names(item), item, strict=True))
    return item if isinstance(item, Mapping) else {}


class KeyedRows(Dataset):
    """Rows by (epoch, index). The global generators are seeded by a key before every item and every augmentation.

    Args:
        dataset: map-style.
        form: of the items.
        labels: whether batches have labels.
        views: the augmentation of each view; None leaves the input as the dataset gives the input.
        name: of the stream, in the key of the augmentation.
        seed: in the key.
        item_name: in the key of randomness inside of the dataset; None takes `name`.
    """

    def __init__(
        self,
        dataset: MapStyle,
        form: ItemForm,
        *,
        labels: bool,
        views: Sequence[Augmentation | None] = (None,),
        name: str,
        seed: int,
        item_name: str | None = None,
    ):
        self.dataset, self.form, self.labels, self.views = dataset, form, labels, tuple(views)
        self.name, self.seed, self.item_name = name, seed, item_name or name

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> tuple[int, Any, list[Any]]:
        try:
            return self._row(*epoch_and_index)
        except Exception as error:
            where = f"row {epoch_and_index[1]} of stream `{self.name}`"
            raise RowError(f"{where} raised {type(error).__name__}: {error}") from error

    def _row(self, epoch: int, index: int) -> tuple[int, Any, list[Any]]:
        seed_cpu(keyed_seed(self.seed, self.item_name, epoch, index))
        item = self.dataset[index]
        inputs, label = self.form.split(item)
        views = [inputs] * len(self.views)
        for view, augment in enumerate(self.views):
            if augment is not None:
                seed_cpu(keyed_seed(self.seed, self.name, epoch, index, view))
                if isinstance(augment, Jointly):
                    views[view], label = augment(inputs, label)
                    item = self.form.with_label(item, label)
                else:
                    views[view] = augment(inputs)
        return index, item, views

    def read(self, keys: list[tuple[int, int]]) -> Batch:
        """Read a batch in the training process, and put back the random states; a worker needs no such care."""
        with untouched_randomness():
            return self.collate([self[k] for k in keys])

    def in_order(self, keys: Sequence[list[tuple[int, int]]], workers: int) -> Iterator[Batch]:
        """Yield the batches of `keys` in order, read by `workers` processes; with 0, in this process."""
        if workers == 0:
            return map(self.read, keys)
        return read_by_workers(self, keys, self.collate, workers, self.name, pin=False)

    def collate(self, rows: list[tuple[int, Any, list[Any]]]) -> Batch:
        """Return the batch of some rows."""
        index, items, views = zip(*rows, strict=True)
        first, *others = zip(*views, strict=True)
        inputs, labels = self.form.batch(items, first, labels=self.labels)
        more = tuple(self.form.batch(items, other, labels=False)[0] for other in others)
        return Batch(inputs, labels, torch.tensor(index), more)


def batches_of(
    dataset: MapStyle, rows: Tensor, batch_size: int, form: ItemForm, *, views: Sequence[Augmentation | None] = (None,),
    name: str, epoch: int = 0, seed: int = 0, workers: int = 0,
) -> Iterator[Batch]:  # fmt: skip
    """Yield the rows `rows` of a dataset in order, with labels where the items have labels.

    Args:
        name, epoch, seed: key of the randomness inside of the dataset and of the augmentation.
        workers: processes that read items. Rows in memory need no processes.
    """
    memory, batch_size = columns(dataset) if form == ItemForm() and not any(views) else None, int(batch_size)
    keyed = KeyedRows(dataset, form, labels=True, views=views, name=name, seed=seed)
    if memory is None:
        yield from keyed.in_order([[(epoch, int(i)) for i in index] for index in rows.split(batch_size)], workers)
        return
    for index in rows.split(batch_size):
        yield Batch(memory.take(0, index), memory.take(1, index) if len(memory.kinds) > 1 else None, index)
