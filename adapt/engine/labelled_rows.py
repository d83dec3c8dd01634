"""The rows of a user as features and numbers of classes."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt import datasets
from adapt.datasets.labels import from_package
from adapt.engine._features import features
from adapt.protocols import HasNames, offers


class Labelled(NamedTuple):
    """``(n, d)`` features, ``(n,)`` numbers of the classes, and the names of the classes."""

    features: Tensor
    numbers: Tensor
    names: list[str]


def as_dataset(support: Any) -> Any:
    """Return a batch ``(n, ...)`` as a data set, and a data set or a list as it is."""
    if isinstance(support, Tensor | numpy.ndarray):
        return TensorDataset(torch.as_tensor(support))
    return datasets.arrays(support) if from_package(support, "pandas") or from_package(support, "scipy") else support


def encoded(encoder: nn.Module, support: Any, what: str, **how: Any) -> TensorDataset:
    """Return the features of rows, after a look at the shape, and the labels where the rows have labels.

    Raises:
        ValueError: features that are not ``(n, d)`` finite numbers.
    """
    found = features(encoder, as_dataset(support), **how)
    rows = found.tensors[0]
    if rows.ndim != 2 or not rows.isfinite().all():
        why = f"shape {tuple(rows.shape)}: pool the features" if rows.ndim != 2 else "NaN or infinity: look at the rows"
        raise ValueError(f"the features of {what} must be (n, d) finite numbers, got {why}.")
    return found


def labelled(encoder: nn.Module, support: Any, names: Sequence[Any] | None, classes: Any, **how: Any) -> Labelled:
    """Return features and numbers of classes.

    Args:
        names: the class of each row, texts or whole numbers; None takes the labels of the data set.
        classes: the names of the classes in order; None takes the names of the data set, or the sorted names.

    Raises:
        TypeError: names that are neither texts nor whole numbers.
        ValueError: no names and no labels, unequal numbers of rows, an unknown name.
    """
    found = encoded(encoder, support, "`support`", **how)
    rows = found.tensors[0]
    if names is None:
        if len(found.tensors) == 1 or found.tensors[1].ndim != 1 or found.tensors[1].is_floating_point():
            raise ValueError("`names` must be given for rows without classes: one name for each row.")
        numbers = found.tensors[1].long()
        own = list(support.names) if offers(support, HasNames) and support.names is not None else None
        known = own if classes is None else [str(name) for name in classes]
        known = [str(c) for c in range(int(numbers.max()) + 1)] if known is None else known
    else:
        if isinstance(names, str | bytes) or not isinstance(names, Iterable):
            raise TypeError(f"`names` must be a list with a name for each row, got {names!r}.")
        words = names.tolist() if isinstance(names, Tensor | numpy.ndarray) else list(names)
        texts = sum(isinstance(w, str) for w in words)
        if any(isinstance(w, bool) or not isinstance(w, str | int | numpy.integer) for w in words) or (
            0 < texts < len(words)
        ):
            kinds = sorted({type(w).__name__ for w in words})
            raise TypeError(
                f"`names` must be all texts or all whole numbers, one for each row, found {', '.join(kinds)}: convert "
                "the names, and leave rows without a name out."
            )
        if len(words) != len(rows):
            raise ValueError(f"`names` must have one name for each of {len(rows)} rows, got {len(words)}.")
        known = [str(name) for name in (sorted(set(words)) if classes is None else classes)]
        place = {name: i for i, name in enumerate(known)}
        if strangers := sorted({str(w) for w in words} - place.keys()):
            raise ValueError(f"`names` must be among the `classes` {known[:5]}, found {strangers[:5]}.")
        numbers = torch.tensor([place[str(w)] for w in words])
    if len(set(known)) < len(known):
        raise ValueError(f"`classes` must differ, got {known[:5]}.")
    if int(numbers.min()) < 0 or int(numbers.max()) >= len(known):
        raise ValueError(
            f"labels of `support` must be in [0, {len(known)}), found {int(numbers.min())} to {int(numbers.max())}: "
            "leave rows without a label out, or give `names`, one for each row."
        )
    return Labelled(rows, numbers, known)
