"""The order of the rows of an epoch: each row once, or rows drawn by weights."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from adapt.randomness import keyed_seed, permutation
from adapt.streams._episodes import EpisodeOrder, Episodes


class Order:
    """The rows of each epoch, as a function of a key.

    Args:
        rows: number of rows of the dataset.
        weights: ``(rows,)`` float64, relative chances of the rows to be drawn, with replacement; None shows each row
            once.
        shuffle: whether the order of each epoch is random.
    """

    def __init__(self, rows: int, weights: Tensor | None, shuffle: bool):
        self.rows, self.weights, self.shuffle = rows, weights, shuffle
        self.bounds = None if weights is None else weights.cumsum(0) / weights.cumsum(0)[-1]

    def of_epoch(self, *key: int | str) -> Tensor:
        """Return ``(rows,)`` row numbers for the epoch of `key`."""
        if self.bounds is not None:
            generator = torch.Generator().manual_seed(keyed_seed(*key))
            drawn = torch.rand(self.rows, dtype=torch.float64, generator=generator)
            # the first bound above the draw: a row of weight 0 has the bound of the row before
            return torch.searchsorted(self.bounds, drawn, right=True)
        return permutation(self.rows, *key) if self.shuffle else torch.arange(self.rows)

    def same_as(self, other: Any) -> bool:
        """Whether both orders draw the same rows under one key."""
        if not isinstance(other, Order) or (self.rows, self.shuffle) != (other.rows, other.shuffle):
            return False
        if self.weights is None or other.weights is None:
            return self.weights is other.weights
        return torch.equal(self.weights, other.weights)


def order_of(
    sampling: Any, by: Tensor | None, labels: Callable[[], Tensor | None], rows: int, shuffle: bool
) -> Order | EpisodeOrder:
    """Return the order of the rows; arguments as in `weights_of`.

    Raises:
        ValueError: as `weights_of`; a sampling that draws, without `shuffle`.
    """
    if isinstance(sampling, Episodes):
        classes = groups_of(by, labels, rows, "`sampling=episodes(...)`")
        order: Order | EpisodeOrder = EpisodeOrder(sampling, classes)
        drawn = True
    else:
        weights = weights_of(sampling, by, labels, rows)
        order, drawn = Order(rows, weights, shuffle), weights is not None
    if drawn and not shuffle:
        raise ValueError("`shuffle=False` keeps the order of the dataset, and `sampling` draws: leave one of them out.")
    return order


def weights_of(sampling: Any, by: Tensor | None, labels: Callable[[], Tensor | None], rows: int) -> Tensor | None:
    """Return the weights of the rows; None for uniform sampling.

    Args:
        sampling: ``"uniform"``, ``"balanced"`` or weights.
        by: group of each row for ``"balanced"``; None takes `labels`.
        labels: returns the labels of all rows, or None where the dataset does not tell the labels.
        rows: number of rows.

    Raises:
        ValueError: unknown words, weights that are no weights, or no groups to balance.
    """
    if by is not None and not (isinstance(sampling, str) and sampling == "balanced"):
        raise ValueError('`by` names the groups of `sampling="balanced"`, got another `sampling`: leave `by` out.')
    if not isinstance(sampling, str):
        return _checked_weights(sampling, rows)
    if sampling == "uniform":
        return None
    if sampling != "balanced":
        raise ValueError(f"`sampling` must be 'uniform', 'balanced' or a weight per row, got {sampling!r}.")
    return _balanced(groups_of(by, labels, rows, '`sampling="balanced"`'), missing=by is None)


def describe_weights(sampling: Any, by: Tensor | None) -> str:
    """Return a text that differs between different weights, for the comparison of a resumed run."""
    named = isinstance(sampling, str | Episodes)
    given = by if named else sampling
    word = repr(sampling) if named else "weights"
    if given is None:
        return word
    mark = hashlib.blake2b(torch.as_tensor(given).contiguous().numpy().tobytes(), digest_size=4).hexdigest()
    return f"{word} {mark}"


def _checked_weights(sampling: Sequence[float] | Tensor, rows: int) -> Tensor:
    weights = torch.as_tensor(sampling, dtype=torch.float64)
    if weights.shape != (rows,):
        raise ValueError(f"`sampling` must have a weight for each of {rows} rows, got shape {tuple(weights.shape)}.")
    if not weights.isfinite().all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError(
            f"`sampling` must have finite weights of 0 or more, with one above 0, got weights from {weights.min():.3g} "
            f"to {weights.max():.3g}."
        )
    return weights


def groups_of(by: Tensor | None, labels: Callable[[], Tensor | None], rows: int, asker: str) -> Tensor:
    """Return ``(rows,)``, the group or the class of each row.

    Raises:
        ValueError: no labels, or something else than one whole number per row; `asker` is named in the message.
    """
    groups = labels() if by is None else by
    if groups is None:
        raise ValueError(
            f"{asker} needs the class of every row, and the dataset of this stream does not tell the labels without "
            "reading all items: give the groups, `by=` with a number for each row."
        )
    if groups.shape != (rows,) or groups.is_floating_point():
        what = "the labels" if by is None else "`by`"
        raise ValueError(
            f"{asker} needs one whole number for each of {rows} rows, got {what} of shape {tuple(groups.shape)} and "
            f"{groups.dtype}: give the groups, `by=...`."
        )
    return groups


def _balanced(groups: Tensor, *, missing: bool) -> Tensor:
    """Return 1 / (rows of the group) for each row; 0 where a label of -1 says that the class is missing."""
    _, number, counts = groups.unique(return_inverse=True, return_counts=True)
    weights = 1 / counts[number].double()
    weights[groups < 0] *= 0.0 if missing else 1.0
    if weights.sum() == 0:
        raise ValueError('`sampling="balanced"` needs rows with a class, got missing labels alone.')
    return weights
