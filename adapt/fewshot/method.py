"""What a few-shot method is: options, a door for episodes, and class vectors on prepared features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_real, full_precision, one_hot


class Rule(NamedTuple):
    r"""The classifiers of episodes: logits of classes as a function of features f.

    .. math:: W x + b - s (\lVert x \rVert^2 - \lVert P x \rVert^2), \qquad x = f - m, \text{ of unit length if asked}

    The last part is equal for all classes and changes no probability. The part makes the logit of a class a distance,
    which tells rows of unknown classes apart.

    Args:
        weight: ``(..., classes, d)`` W.
        bias: ``(..., classes)`` b.
        square: ``(...)`` s; None is 0.
        directions: ``(..., r, d)`` P; None is no row.
        centre: ``(..., 1, d)`` m; None is 0.
        unit: whether x has unit length.
    """

    weight: Tensor
    bias: Tensor
    square: Tensor | None = None
    directions: Tensor | None = None
    centre: Tensor | None = None
    unit: bool = False

    def log_probabilities(self, query: Tensor) -> Tensor:
        """Return ``(..., q, classes)`` log-probabilities of ``(..., q, d)`` features."""
        x = prepared(query.to(self.weight.dtype), self.centre, False)
        with full_precision(x):
            logits = self.weight @ x.mT  # (..., classes, q): the other order takes up to twice as long
        if self.unit:
            logits = logits / lengths(x).mT
        return (logits + self.bias.unsqueeze(-1)).log_softmax(-2).mT


Solve = Callable[[Tensor, Tensor], Rule]


@dataclass(frozen=True)
class Inductive:
    """A few-shot method with one answer for each query, whatever the other queries are.

    Functions of this room such as :func:`centroid` make methods. A method of your own is
    ``Inductive("mine", {}, solve)``.

    Args:
        name: of the method.
        options: by name, as the method was made.
        solve: from ``(..., s, d)`` support rows and ``(..., s, classes)`` labels of 0 and 1 to a `Rule`.
        columns: number of classes, where `solve` knows the classes before the support: labels are then numbers below
            `columns`, and a class may have no row, also all classes. None: the classes are the labels in the support.

    ``method(support, labels, query)`` returns ``(..., q, classes)`` log-probabilities, in the order of
    :func:`classes_of`. Leading axes are episodes, all computed together:

    - support: ``(..., s, d)`` features.
    - labels: ``(..., s)`` whole numbers from 0 on, any numbers; all episodes must have the same number of classes.
    - query: ``(..., q, d)`` features, q may be 0.

    float32 inside where half precision comes in. Gradients go through to support and queries. Each rank computes its
    own episodes.

    Raises:
        ValueError: shapes that do not fit, no support row, NaN or infinity, numbers whose squares leave the range of
            the precision, labels that are no whole numbers from 0 on.
    """

    name: str
    options: Mapping[str, Any] = field(hash=False)
    solve: Solve = field(repr=False, hash=False)
    columns: int | None = None

    def __repr__(self) -> str:
        return shown(self.name, self.options)

    def __call__(self, support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        support, query = check_episodes(support, labels, query, empty=self.columns is not None)
        found = self._rule(support, labels).log_probabilities(query)
        if found.isnan().any():  # a look at all queries would take as long as a fifth of the nearest centroid
            check_size("query", query)
        return found

    def fit(self, support: Tensor, labels: Tensor) -> Rule:
        """Return the classifiers of episodes, for queries that come later."""
        support, _ = check_episodes(support, labels, empty=self.columns is not None)
        return self._rule(support, labels)

    def _rule(self, support: Tensor, labels: Tensor) -> Rule:
        numbers, classes = numbered(labels, self.columns)
        with full_precision(support):
            return self.solve(support, one_hot(numbers, classes.shape[-1], support))


@dataclass(frozen=True)
class Transductive:
    """A few-shot method with answers for a set of queries together: each answer depends on the whole set.

    Args:
        name: of the method.
        options: by name, as the method was made.
        solve: from ``(..., s, d)`` support rows, ``(..., s, classes)`` labels of 0 and 1, and ``(..., q, d)`` queries
            to ``(..., q, classes)`` log-probabilities.

    Arguments, returns and errors of a call are as for :class:`Inductive`. A set of queries with other shares of the
    classes than the method assumes can make the answers worse than an inductive method: see each method.
    """

    name: str
    options: Mapping[str, Any] = field(hash=False)
    solve: Callable[[Tensor, Tensor, Tensor], Tensor] = field(repr=False, hash=False)

    def __repr__(self) -> str:
        return shown(self.name, self.options)

    def __call__(self, support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        support, query = check_episodes(support, labels, query)
        check_size("query", query)
        numbers, classes = numbered(labels)
        if query.shape[-2] == 0:
            return query.new_zeros(*query.shape[:-1], classes.shape[-1])
        with full_precision(query):
            return self.solve(support, one_hot(numbers, classes.shape[-1], support), query)


Method = Inductive | Transductive


def shown(name: str, options: Mapping[str, Any]) -> str:
    """Return a method as the call that makes the method; a tensor is shown by its shape."""
    words = (f"{k}={tuple(v.shape) if isinstance(v, Tensor) else repr(v)}" for k, v in options.items())
    return f"{name}({', '.join(words)})"


def classes_of(labels: Tensor) -> Tensor:
    """Return ``(..., classes)``, the sorted labels of each episode: the columns of the log-probabilities.

    Args:
        labels: ``(..., s)`` whole numbers from 0 on.

    Raises:
        ValueError: labels that are no whole numbers from 0 on; episodes with unequal numbers of classes.

    >>> classes_of(torch.tensor([7, 3, 7]))
    tensor([3, 7])
    """
    check_whole(labels)
    return numbered(labels)[1]


def numbered(labels: Tensor, columns: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the number of the class of each row within its episode, and the ``(..., classes)`` classes.

    Two host synchronisations on a GPU.
    """
    labels = labels.long()  # torch finds no minimum of uint16
    if labels.numel() and int(labels.min()) < 0:
        raise ValueError(f"`labels` must be from 0 on, found {int(labels.min())}: leave rows without a label out.")
    if columns is not None:
        if labels.numel() and int(labels.max()) >= columns:
            raise ValueError(f"`labels` must be below the {columns} classes of the method, found {int(labels.max())}.")
        return labels, torch.arange(columns, device=labels.device).expand(*labels.shape[:-1], columns)
    ordered, place = labels.sort(-1)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    number = first.cumsum(-1) - 1
    least, most = (int(v) + 1 for v in number[..., -1].aminmax())
    if least != most:
        raise ValueError(
            f"`labels` must have the same number of classes in every episode, found {least} to {most}: call the "
            "method once for each number of classes."
        )
    numbers = torch.empty_like(number).scatter_(-1, place, number)
    return numbers, ordered[first].view(*labels.shape[:-1], most)


def prepared(x: Tensor, centre: Tensor | None, unit: bool) -> Tensor:
    """Return features minus a centre, of unit length where asked."""
    x = x if centre is None else x - centre
    return unit_rows(x) if unit else x


def unit_rows(x: Tensor) -> Tensor:
    """Return rows of unit length; a row of zeros stays. Two passes over the rows, where ``losses`` takes five."""
    return x / lengths(x)


def lengths(x: Tensor) -> Tensor:
    """Return ``(..., rows, 1)``, the length of each row, 1 for a row of zeros.

    A row with a square beyond the precision has the length NaN: divided by infinity the row would be zeros.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.where(length > 0, length, 1).masked_fill(length.isinf(), torch.nan)


def check_centre(centre: Tensor | None) -> None:
    """Raise unless `centre` is a ``(d,)`` tensor of finite numbers, or None."""
    if centre is None:
        return
    check_real("centre", centre)
    if centre.ndim != 1 or not centre.isfinite().all():
        raise ValueError(f"`centre` must be (d,) finite numbers, got {tuple(centre.shape)}: take `features.mean(0)`.")


def centre_like(centre: Tensor | None, x: Tensor) -> Tensor | None:
    """Return ``(1, d)``, the centre in the precision of features, or None."""
    if centre is None:
        return None
    if len(centre) != x.shape[-1]:
        raise ValueError(
            f"`centre` must have the size of the features, got {len(centre)} and {x.shape[-1]}: take the mean of "
            "features of the same encoder."
        )
    return centre.to(x)[None]


def check_whole(labels: Tensor, *, empty: bool = False) -> None:
    """Raise unless `labels` is a tensor of whole numbers, with a row unless `empty`."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex() or labels.ndim == 0:
        found = (
            f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        )
        raise ValueError(f"`labels` must be (..., s) whole numbers, got {found}: `fewshot.fit` takes names.")
    if labels.numel() == 0 and not empty:
        raise ValueError("`support` must have at least one row, got 0: label one row of each class.")


def check_size(name: str, x: Tensor) -> None:
    """Raise unless all numbers are finite, and the largest number has a square in the range of the precision."""
    if x.numel() == 0:
        return
    x = at_least_float32(x.detach())
    largest = max(abs(end.item()) for end in x.aminmax())
    if not largest < torch.inf:
        raise ValueError(f"`{name}` must be finite, found NaN or infinity: leave these rows out.")
    most = torch.finfo(x.dtype).max ** 0.4
    if largest and not 1 / most < largest < most:
        raise ValueError(
            f"`{name}` must have a largest number between {1 / most:.0e} and {most:.0e} in {x.dtype}, got "
            f"{largest:.3g}: divide support and queries by one number."
        )


def check_episodes(
    support: Tensor, labels: Tensor, query: Tensor | None = None, *, empty: bool = False
) -> tuple[Tensor, Tensor]:
    """Return support and queries in one precision, at least float32, after a look at shapes.

    A look at the largest number of the support is a host synchronisation.

    Raises:
        TypeError: features that are no tensors.
        ValueError: shapes that do not fit, numbers that are not finite, too large or too small.
    """
    for name, x in (("support", support), ("query", support if query is None else query)):
        check_real(name, x)
        if x.ndim < 2 or x.shape[-1] == 0:
            raise ValueError(f"`{name}` must be (..., rows, d) features, got {tuple(x.shape)}: one row is `x[None]`.")
    check_size("support", support)
    check_whole(labels, empty=empty)
    if labels.shape != support.shape[:-1]:
        raise ValueError(
            f"`labels` must hold one class for each support row, shape {tuple(support.shape[:-1])}, got "
            f"{tuple(labels.shape)}."
        )
    query = support if query is None else query
    if query.shape[-1] != support.shape[-1] or query.shape[:-2] != support.shape[:-2]:
        raise ValueError(
            "`support` and `query` must have the same episodes and the same feature size, got "
            f"{tuple(support.shape)} and {tuple(query.shape)}."
        )
    dtype = torch.promote_types(at_least_float32(support[..., :0, :]).dtype, at_least_float32(query[..., :0, :]).dtype)
    return support.to(dtype), query.to(dtype)
