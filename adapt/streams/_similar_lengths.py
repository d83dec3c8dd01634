"""Batches of rows of similar length, so that a batch needs little padding."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.randomness import permutation
from adapt.streams.sampling import Order

POOL = 50  # batches sorted together: 50 is the mega-batch of transformers, `group_by_length=True`


class SimilarLengths:
    """The rows of each epoch, in batches of similar length, as a function of a key.

    The rows of an epoch are those of `order`. Each 50 batches of the epoch are sorted by length and cut into batches
    again, and then all batches come in a random order. The rows that fill no batch stay the last rows of `order`.

    Args:
        order: chooses the rows of the epoch.
        lengths: ``(rows,)`` whole numbers.
        batch_size: rows of a batch.
    """

    shuffle = True

    def __init__(self, order: Order, lengths: Tensor, batch_size: int):
        self.order, self.lengths, self.batch_size = order, lengths, batch_size

    def of_epoch(self, *key: int | str) -> Tensor:
        """Return ``(rows,)`` row numbers for the epoch of `key`."""
        rows = self.order.of_epoch(*key)
        full = len(rows) - len(rows) % self.batch_size
        pools = rows[:full].split(POOL * self.batch_size)
        batches = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools]).view(-1, self.batch_size)
        return torch.cat([batches[permutation(len(batches), *key, "batches")].flatten(), rows[full:]])

    def same_as(self, other: Any) -> bool:
        """Whether both orders draw the same rows under one key."""
        return (
            isinstance(other, SimilarLengths)
            and self.batch_size == other.batch_size
            and torch.equal(self.lengths, other.lengths)
            and self.order.same_as(other.order)
        )


def checked_lengths(lengths: Sequence[int] | Tensor, rows: int) -> Tensor:
    """Return ``(rows,)`` int64 lengths.

    Raises:
        ValueError: something else than one whole number of at least 0 for each row.
    """
    values = lengths.detach().cpu() if isinstance(lengths, Tensor) else numpy.asarray(lengths)
    found = f"{values.dtype} of shape {tuple(values.shape)}"
    whole = (
        not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
        if isinstance(values, Tensor)
        else values.dtype.kind in "iu"
    )
    if not whole or tuple(values.shape) != (rows,) or values.min() < 0:
        raise ValueError(
            f"`lengths` must be a whole number of at least 0 for each of {rows} rows, got {found}: give "
            "`lengths=[len(row) for row in rows]`."
        )
    return torch.as_tensor(values if isinstance(values, Tensor) else values.astype(numpy.int64)).long()
