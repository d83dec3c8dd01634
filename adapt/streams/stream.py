"""A named source of batches of fixed size, in an order that is a function of the step."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from inspect import isfunction
from itertools import count
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from adapt.protocols import InMemory, MapStyle
from adapt.randomness import untouched_randomness
from adapt.streams._episodes import EpisodeOrder, Episodes
from adapt.streams._similar_lengths import SimilarLengths, checked_lengths
from adapt.streams.batch import Batch
from adapt.streams.items import Augmentation, ItemForm, Jointly, KeyedRows, expect_random
from adapt.streams.memory import columns
from adapt.streams.sampling import Order, describe_weights, order_of
from adapt.streams.told import groups_told, labels_told, numbered
from adapt.streams.workers import read_by_workers
from losses.options import COUNT, FROM_0, check, is_whole, or_none


class Stream:
    """Batches of a map-style dataset, in an order keyed by (seed, stream, epoch).

    An epoch is ``len(dataset) // batch_size`` batches of a new permutation. The rows left over are not read in the
    epoch: every batch is full and holds no row twice. `sampling` and `last` say otherwise.

    Augmentation is keyed by (seed, stream, epoch, index, view), and so is randomness inside of the dataset. The state
    of a stream is therefore the number of the step, for any number of workers and of ranks.

    Inputs and labels are any trees of tensors: mappings, tuples, namedtuples. A dataset in memory (a
    ``TensorDataset``, and a ``Subset`` or ``ConcatDataset`` of such datasets) without augmentation and `collate` is
    read by whole batches.

    Args:
        dataset: map-style; items are ``(input, label)``, mappings or namedtuples (see `label`), or the input alone
            where ``labels=False``. The dataset prepares an item, in training and in evaluation alike; random
            augmentation in training is `augment`.
        batch_size: rows per step over all ranks together: each of W ranks reads 1 / W of the rows. Episodes have a size
            of their own: leave `batch_size` out.
        labels: ``False`` hides the labels: a term that asks for labels gets an error.
        label: key of the label in items that are mappings, say ``"labels"`` for rows of Hugging Face's datasets, or
            name of the field in items that are namedtuples. The rest of the item is the input, a dict.
        input: key or field of the input, where a part of the item is the input; other parts are left out.
        collate: from a list of items to a batch of the same form, as the ``collate_fn`` of a ``DataLoader``:
            ``collate.pad()``, ``collate.as_lists``, a data collator of transformers. None stacks inputs and labels of
            one shape. In a batch of your own, a list holds one entry per row.
        augment: random augmentation of one input, called as ``augment(input)``. The augmentation may draw from the
            global generators of torch, numpy and python: a key seeds the generators before each call, and the
            generators get the old state back after the batch. ``streams.jointly(function)`` changes input and label
            together, say an image and its mask.
        views: in place of `augment`, the augmentation of each of several views of the same rows, of any size; None for
            an input as the dataset gives the input. The first view is the input of the stream:
            ``step["target"].inputs``; a term reads the others as ``step["target"].views[1]``.
        shuffle: ``False`` keeps the order of the dataset.
        sampling: ``"uniform"`` shows each row once in an epoch. ``"balanced"`` draws rows with replacement, so that all
            classes, or all groups of `by`, come equally often; rows with the missing label -1 are not drawn. A weight
            for each row, ``(n,)``, draws rows with replacement by the weights. An epoch keeps its number of batches.
            ``streams.episodes(ways, shots, queries)`` draws few-shot tasks.
        by: group of each row for ``"balanced"``, and class of each row for episodes, ``(n,)`` numbers or texts, say
            domains; ``"groups"`` takes the groups of the dataset. None takes the labels that the dataset tells: see
            `all_labels`.
        lengths: ``(n,)`` whole numbers, the length of each row. A batch then holds rows of similar length, and
            ``collate.pad()`` fills few places: each 50 batches of the epoch are sorted by length, and all batches of
            the epoch come in a random order. The rows of the epoch stay the same rows, and the order stays a function
            of (seed, stream, epoch). None: lengths play no role.
        last: ``"drop"`` leaves out the rows that do not fill a batch; ``"keep"`` makes a last, smaller batch
            of these rows: each of the rows then weighs more in the mean of a step.
        workers: processes that read and augment. With 0 the training process reads and augments.
        prefetch_factor: batches that each worker reads ahead, as in a ``DataLoader``; None for torch's default, 2.
        pin_memory: whether batches of workers are put into pinned memory, from which copies to a GPU do not wait; None
            for True where CUDA is there.
        encoder: name of the encoder of these rows, in a trainer with several encoders:
            ``Trainer(encoder={"image": a, "text": b}, ...)``.
        rows_of: name of another stream with the same number of rows, batch size and sampling. Each step then holds the
            same rows of both streams, say an image in one stream and the text of the image in the other.

    Raises:
        ValueError: the dataset is empty, a batch is larger than the data, items have no labels where ``labels=True``,
            or options that do not fit together.
    """

    def __init__(
        self,
        dataset: MapStyle,
        batch_size: int | None = None,
        *,
        labels: bool = True,
        label: str | None = None,
        input: str | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        augment: Augmentation | None = None,
        views: Sequence[Augmentation | None] | None = None,
        shuffle: bool = True,
        sampling: str | Tensor | Sequence[float] | Episodes = "uniform",
        by: str | Tensor | Sequence[Any] | None = None,
        lengths: Sequence[int] | Tensor | None = None,
        last: str = "drop",
        workers: int = 0,
        prefetch_factor: int | None = None,
        pin_memory: bool | None = None,
        encoder: str | None = None,
        rows_of: str | None = None,
    ):
        self.dataset, self.labels = dataset, labels
        self.episodes = sampling if isinstance(sampling, Episodes) else None
        self.form, self.encoder, self.rows_of = ItemForm(label, collate, input), encoder, rows_of
        check(FROM_0, workers=workers)
        check(or_none(COUNT), prefetch_factor=prefetch_factor)
        self.views, self.workers, self.shuffle = _views_of(augment, views), int(workers), shuffle
        if prefetch_factor is not None and workers == 0:
            raise ValueError(
                f"`prefetch_factor` must be None without `workers`, got {prefetch_factor}: leave `prefetch_factor` out "
                "where no worker reads ahead."
            )
        self.prefetch_factor, self.pin_memory = prefetch_factor, pin_memory
        check_rows(dataset)
        self.rows = len(dataset)
        if self.rows == 0:
            raise ValueError("`dataset` is empty: a stream needs at least one batch of rows.")
        self.batch_size = self._rows_of_a_batch(batch_size)
        with untouched_randomness():  # a dataset may draw
            first = dataset[0]
            _, label_of_first = self.form.split(first)
        if labels and label_of_first is None:
            raise ValueError(
                f"`dataset` gives inputs without labels{_found(first)}; pass `labels=False` for an unlabelled stream, "
                '`label="labels"` (and `input=...`) where an item is a mapping with the label under this key, or '
                "`datasets.arrays(inputs, labels)` for arrays."
            )

        if label_of_first is None and isinstance(self.views[0], Jointly):
            raise ValueError(
                "`jointly` changes input and label together, and `dataset` gives inputs without labels: give the "
                "function alone, `augment=function`."
            )
        with untouched_randomness():
            expect_random(self.views[0], self.form.split(first)[0])
        if last not in ("drop", "keep"):
            raise ValueError(f"`last` must be 'drop' or 'keep', got {last!r}.")
        if last == "keep" and self.episodes is not None:
            raise ValueError("`last` must be 'drop' with episodes, got 'keep': episodes leave no rows over.")
        groups, self.last = self._groups(by), last
        self.order: Order | EpisodeOrder | SimilarLengths = order_of(
            sampling, groups, self.all_labels, self.rows, shuffle
        )
        self._drawn, self._lengths = describe_weights(sampling, groups), None
        if lengths is not None:
            self._lengths = checked_lengths(lengths, self.rows)
            self.order = self._sorted(self.order, self._lengths)

    @property
    def per_epoch(self) -> int:
        """Number of batches of an epoch."""
        full, left = divmod(self.rows, self.batch_size)
        return max(1, full + (self.last == "keep" and left > 0))

    def __repr__(self) -> str:
        parts = {
            "label": self.form.label and repr(self.form.label),
            "input": self.form.input and repr(self.form.input),
            "collate": self.form.collate and _shown(self.form.collate),
            "views": len(self.views) if len(self.views) > 1 else None,
            "shuffle": None if self.shuffle else False,
            "sampling": None if self._drawn == "'uniform'" else self._drawn,
            "lengths": None if self._lengths is None else describe_weights(self._lengths, None),
            "last": None if self.last == "drop" else repr(self.last),
            "encoder": self.encoder and repr(self.encoder),
            "rows_of": self.rows_of and repr(self.rows_of),
        }
        extra = "".join(f", {name}={text}" for name, text in parts.items() if text is not None)
        return f"Stream({self.rows} rows, batch_size={self.batch_size}, labels={self.labels}{extra})"

    def same_rows_as(self, other: "Stream") -> bool:
        """Whether both streams read rows of the same numbers in each step, under the same key."""
        sizes = [(s.rows, s.batch_size, s.last) for s in (self, other)]
        return sizes[0] == sizes[1] and self.order.same_as(other.order)

    def all_labels(self) -> Tensor | None:
        """Return all labels where the dataset tells the labels without reading all items; else None.

        Labels are told by a dataset in memory, by a list of items, and by an attribute ``labels`` (all builders of
        ``datasets``) or ``targets`` (torchvision) with the label of each row.
        """
        return labels_told(self.dataset, self.form) if self.labels else None

    def _rows_of_a_batch(self, asked: int | None) -> int:
        if self.episodes is not None:
            if asked is not None:
                raise ValueError(
                    f"`batch_size` follows from the episodes, {self.episodes.tasks} of {self.episodes.rows} rows, got "
                    f"{asked}: leave `batch_size` out, and give `episodes(..., tasks=...)`."
                )
            return self.episodes.tasks * self.episodes.rows
        if asked is None or not is_whole(asked, 1) or asked > self.rows:
            raise ValueError(
                f"`batch_size` must be a whole number between 1 and the {self.rows} rows of `dataset`, got {asked!r}; "
                "take a smaller batch."
            )
        return int(asked)

    def _sorted(self, order: Order | EpisodeOrder | SimilarLengths, lengths: Tensor) -> SimilarLengths:
        if not isinstance(order, Order) or not self.shuffle:
            found = "`shuffle=False`" if not self.shuffle else "`sampling=episodes(...)`"
            raise ValueError(f"`lengths` sorts the rows anew, got {found} beside: leave one of the two out.")
        return SimilarLengths(order, lengths, self.batch_size)

    def _groups(self, by: Any) -> Tensor | None:
        if not isinstance(by, str):
            return None if by is None else numbered(by)
        groups = groups_told(self.dataset) if by == "groups" else None
        if groups is None:
            raise ValueError(
                f'`by` must be a group for each row, or "groups" where the dataset has the attribute `groups`, got '
                f"{by!r} and a {type(self.dataset).__name__}: give the groups, `by=[...]`."
            )
        return groups

    def indices(self, name: str, seed: int, start: int, rank: int, world: int) -> Iterator[tuple[int, Tensor]]:
        """Yield (epoch, row numbers of this rank) of batch `start`, `start` + 1, ..., without end."""
        batches: Sequence[Tensor] = ()
        known, per_epoch = -1, self.per_epoch if self.episodes is None else 1
        for number in count(start):
            epoch, batch = divmod(number, per_epoch)
            if epoch != known:
                batches, known = self.order.of_epoch(seed, name, epoch).split(self.batch_size), epoch
            index = batches[batch]
            if world > 1:
                share = len(index) // world
                index = index[rank * share : (rank + 1) * share]
            yield epoch, index

    def batches(self, name: str, seed: int, start: int = 0, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield the batches from number `start` on, without end.

        Raises:
            ValueError: `batch_size`, or the last batch of an epoch, does not divide by the number of ranks.
        """
        if self.batch_size % world:
            raise ValueError(
                f"`batch_size` of stream `{name}` must divide by the {world} ranks, got {self.batch_size}: "
                "`batch_size` counts the rows of all ranks together."
            )
        if self.episodes is not None and self.episodes.tasks % world:
            raise ValueError(
                f"the episodes of a step of stream `{name}` must divide by the {world} ranks, got "
                f"{self.episodes.tasks}: `tasks` of `episodes` counts the episodes of all ranks together."
            )
        if self.last == "keep" and (left := self.rows % self.batch_size) % world:
            raise ValueError(
                f"the last batch of stream `{name}` must divide by the {world} ranks, got {left} rows: take another "
                '`batch_size`, or `last="drop"`.'
            )
        read = self._read(name, seed, self.indices(self.rows_of or name, seed, start, rank, world))
        return read if self.episodes is None else (replace(batch, episodes=self.episodes) for batch in read)

    def _read(self, name: str, seed: int, indices: Iterator[tuple[int, Tensor]]) -> Iterator[Batch]:
        memory = columns(self.dataset) if self.form == ItemForm() and self.views == (None,) else None
        if memory is not None:
            return self._in_memory(memory, indices)
        rows = KeyedRows(
            self.dataset, self.form, labels=self.labels, views=self.views, name=name, seed=seed, item_name=self.rows_of
        )
        keys = ([(epoch, int(i)) for i in index] for epoch, index in indices)
        if self.workers == 0:
            return (rows.read(batch) for batch in keys)
        pin = torch.cuda.is_available() if self.pin_memory is None else self.pin_memory
        return read_by_workers(
            rows, keys, rows.collate, self.workers, name, pin=pin, prefetch_factor=self.prefetch_factor
        )

    def _in_memory(self, memory: InMemory, indices: Iterator[tuple[int, Tensor]]) -> Iterator[Batch]:
        for _, index in indices:
            yield Batch(memory.take(0, index), memory.take(1, index) if self.labels else None, index)


def check_rows(dataset: Any, what: str = "`dataset`") -> None:
    """Raise a TypeError unless `dataset` has a length and rows by number."""
    pair = isinstance(dataset, tuple) and all(isinstance(part, Tensor | numpy.ndarray) for part in dataset)
    if pair and len({len(part) for part in dataset}) == 1 and len(dataset[0]) != len(dataset):
        raise TypeError(
            f"{what} must be a data set with one row per item, got a tuple of {len(dataset)} arrays: give "
            "`datasets.arrays(inputs, labels)`."
        )
    if isinstance(dataset, DataLoader):
        raise TypeError(
            f"{what} must be a data set, got a DataLoader: give `Stream(loader.dataset, loader.batch_size)`, which "
            "orders the rows by a key."
        )
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        raise TypeError(
            f"{what} must be a data set with a length and rows by number, got a {type(dataset).__name__}: read the "
            "rows first, `Stream(list(dataset), ...)`."
        )


def _found(item: Any) -> str:
    return f", with the keys {sorted(map(str, item))}" if isinstance(item, Mapping) else ""


def _shown(function: Callable) -> str:
    """Return a text about a function that is the same in every process."""
    if isfunction(function):
        return function.__qualname__
    text = repr(function)
    return type(function).__qualname__ if " at 0x" in text else text


def _views_of(
    augment: Augmentation | None, views: Sequence[Augmentation | None] | None
) -> tuple[Augmentation | None, ...]:
    """Return the augmentation of each view.

    Raises:
        ValueError: `augment` beside `views`, or no view.
    """
    if views is None:
        return (augment,)
    if augment is not None:
        raise ValueError("give either `augment` or `views`: `views=[augment, other]` gives two views of each row.")
    if not views:
        raise ValueError("`views` must name at least one view, got none: leave `views` out for the input as it is.")
    if any(isinstance(view, Jointly) for view in views[1:]):
        raise ValueError(
            "the labels of a stream are the labels of its first view, got `jointly` in a further view: make the joint "
            "augmentation the first view."
        )
    return tuple(views)
