"""Preparation of whole domains, without a look at labels: split, standardize, choose pairs."""

from collections.abc import Mapping, Sized
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from adapt.datasets._texts import TextRows
from adapt.datasets.rows import Rows
from adapt.protocols import MapStyle, reads_as
from adapt.randomness import permutation
from losses.options import BELOW_1, FROM_0, check, whole

Name = TypeVar("Name", int, str)


class Splits(NamedTuple):
    """Disjoint parts of one domain: a ``TensorDataset`` of inputs and labels each, or a ``Subset`` of other data."""

    train: Any
    validation: Any
    test: Any


def splits(
    dataset: MapStyle,
    name: str,
    *,
    groups: Tensor | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Split a domain into disjoint parts for training, validation and test.

    The split is a function of (seed, name), the same on every machine. Rows of one group stay in one part, and so do
    rows in memory with equal inputs, and equal texts of :func:`datasets.texts`, where there are no groups: a text or a
    window with two copies is never both in training and in the test. The sizes of the parts may therefore differ from
    the asked sizes, by at most the largest group. Labels are not read: a rare class may be absent from a small part.

    Args:
        dataset: a ``TensorDataset`` with inputs first, ``(n, ...)``; further tensors are split alike. Of any other
            data set no row is read, and the parts are ``Subset``.
        name: of the domain; two domains of equal size get different orders.
        groups: ``(n,)`` integers: the person or the recording of each row. None takes the groups of
            :func:`datasets.windows`, where there are groups.
        validation, test: shares of the rows; 0 leaves the part empty. The rest is `train`. The defaults are
            the usual 60-20-20.
        seed: another seed gives another split.

    Raises:
        ValueError: shares are negative or leave no row to train on; there are fewer rows or groups than parts; another
            number of `groups` than rows.

    >>> parts = splits(TensorDataset(torch.arange(10.0)[:, None]), "example")
    >>> [len(part) for part in parts]
    [6, 2, 2]
    """
    check(BELOW_1, validation=validation, test=test)
    check(FROM_0, seed=seed)
    if validation + test >= 1:
        raise ValueError(
            "`validation` and `test` are shares of the rows and must leave rows to train on, got "
            f"{validation} and {test}."
        )
    rows = len(dataset)
    group = _groups(dataset, groups)
    rank = permutation(int(group.max()) + 1 if rows else 0, seed, name, "splits").argsort()
    order = rank[group].argsort(stable=True)
    first = _boundary(group[order], round(rows * test))
    second = _boundary(group[order], first + round(rows * validation))
    parts = {"test": order[:first], "validation": order[first:second], "train": order[second:]}
    empty = [
        part
        for part, share in (("test", test), ("validation", validation), ("train", 1))
        if share and not len(parts[part])
    ]
    if empty:
        raise ValueError(f"{rows} rows of `{name}` are too few for {' and '.join(empty)}: take another share.")
    return Splits(*(_part(dataset, parts[part]) for part in Splits._fields))


def _part(dataset: MapStyle, index: Tensor) -> MapStyle:
    """Return some rows: in memory where the rows lie in memory."""
    if reads_as(dataset, Rows):
        return dataset.part(index)
    if reads_as(dataset, TensorDataset):
        return TensorDataset(*(t[index] for t in dataset.tensors))
    return Subset(dataset, index.tolist())  # type: ignore[arg-type]  # a list is a data set too


def standardize(source: TensorDataset, *others: TensorDataset, by: str = "source") -> list[TensorDataset]:
    r"""Put columns, or the channels of images, on one scale, and missing values at the mean.

    .. math:: z_{ij} = (x_{ij} - \mu_j) / \sigma_j, \qquad
              z_{ij} = 0 \text{ where } x_{ij} \text{ is missing or } \sigma_j = 0

    Mean and population deviation are computed from present values, in float64. A column with a single value, or without
    a present value, says nothing and becomes 0. `docs/standardize.md` says which scale to take, with figures.

    Args:
        source: inputs first: columns ``(n, d)``, or images, windows and the like ``(n, channels, ...)``, whose places
            count as rows. NaN where a value is missing; further tensors are kept.
        others: alike, with the same number of columns or channels.
        by: whose :math:`\mu` and :math:`\sigma` are taken.

            - ``"source"``: of the source for all: nothing is learned from `others`, and a shift of the inputs stays.
            - ``"domain"``: of each data set for itself: the first two moments agree. Needs many rows of the target
              before the first prediction, and hides a shift of the classes in the moments.
            - ``"row"``: of each channel of each image for itself, for images and windows alone: brightness and
              contrast of a camera disappear, also where brightness says something about the class.

    Returns:
        The datasets in the order of the arguments, inputs in float32.

    Raises:
        TypeError: a dataset that is no ``TensorDataset``.
        ValueError: another `by`; ``"row"`` for columns; different numbers of columns or channels; infinite inputs.
    """
    if by not in ("source", "domain", "row"):
        raise ValueError(f'`by` must be "source", "domain" or "row", got {by!r}.')
    for dataset in (source, *others):
        if not reads_as(dataset, TensorDataset):
            raise TypeError(
                f"`standardize` takes rows in memory, a TensorDataset without items of its own, got a "
                f"{type(dataset).__name__}: give `TensorDataset(inputs)`, or `TensorDataset(inputs, labels)`."
            )
    inputs = [dataset.tensors[0] for dataset in (source, *others)]
    for x in inputs:
        if x.ndim < 2 or x.ndim != inputs[0].ndim or x.shape[1] != inputs[0].shape[1]:
            raise ValueError(
                "all inputs must be (n, d) or (n, channels, ...) with the columns or channels of the source, got "
                f"{[tuple(x.shape) for x in inputs]}."
            )
        if x.ndim == 2 and by == "row":
            raise ValueError(
                '`by="row"` is for images and windows, (n, channels, ...), and the inputs are columns (n, d): the '
                'columns of a row have different units. Take "source" or "domain".'
            )
        if x.isinf().any():
            raise ValueError("the inputs hold infinite values; a missing value is NaN.")
    out = []
    for dataset, x in zip((source, *others), inputs, strict=True):
        mean, deviation = _moments(inputs[0] if by == "source" else x, by)
        z = ((x.double() - mean) / deviation).nan_to_num(0.0)
        out.append(TensorDataset(z.float(), *dataset.tensors[1:]))
    return out


def _moments(x: Tensor, by: str) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each column or channel, or of each channel of each row; infinite where constant."""
    x = x.double()
    axes = tuple(range(2, x.ndim)) if by == "row" else (0, *range(2, x.ndim))
    mean = x.nanmean(axes, keepdim=True)
    # a column that is constant but for rounding of its mean is constant
    constant = ~(x.nan_to_num(-torch.inf).amax(axes, True) > x.nan_to_num(torch.inf).amin(axes, True))
    return mean, (x - mean).square().nanmean(axes, keepdim=True).sqrt().masked_fill(constant, torch.inf)


def adaptation_pairs(domains: Mapping[Name, Sized], count: int) -> list[tuple[Name, Name]]:
    """Choose pairs of domains by a rule without labels: the `count` largest domains in a ring.

    Each domain is adapted to the next domain, and the last domain to the first. Of two domains of equal size the
    lower name comes first.

    Raises:
        ValueError: fewer than two domains, or fewer than `count`.

    >>> adaptation_pairs({1: "abc", 2: "abcd", 3: "a", 4: "abc"}, 3)
    [(2, 1), (1, 4), (4, 2)]
    """
    check(whole(2), count=count)
    if count > len(domains):
        raise ValueError(f"`count` must be between 2 and the {len(domains)} domains, got {count}.")
    chosen = sorted(domains, key=lambda name: (-len(domains[name]), name))[:count]
    return list(zip(chosen, chosen[1:] + chosen[:1], strict=True))


def _groups(dataset: MapStyle, groups: Tensor | None) -> Tensor:
    """Return the number of the group of each row, without gaps."""
    if groups is None and isinstance(dataset, Rows):
        groups = dataset.groups
    if groups is not None:
        if groups.shape != (len(dataset),):
            raise ValueError(f"`groups` must be one per row, ({len(dataset)},), got {tuple(groups.shape)}.")
        return groups.unique(return_inverse=True)[1]
    if isinstance(dataset, TensorDataset):
        return _equal_rows(dataset.tensors[0])
    if isinstance(dataset, TextRows):
        number: dict[str, int] = {}
        return torch.tensor([number.setdefault(text, len(number)) for text in dataset.texts])
    return torch.arange(len(dataset))


def _equal_rows(inputs: Tensor) -> Tensor:
    """Return ``(n,)`` numbers, equal for rows with the same bytes, in order of appearance."""
    seen: dict[bytes, int] = {}
    rows = inputs.flatten(1) if inputs.ndim > 1 else inputs[:, None]
    bytes_of = rows.contiguous().view(torch.uint8).cpu().numpy()  # a view: numpy does not know bfloat16
    return torch.tensor([seen.setdefault(row.tobytes(), len(seen)) for row in bytes_of], dtype=torch.int64)


def _boundary(group: Tensor, cut: int) -> int:
    """Return the first place at or after `cut` between two different groups."""
    while 0 < cut < len(group) and group[cut] == group[cut - 1]:
        cut += 1
    return min(cut, len(group))
