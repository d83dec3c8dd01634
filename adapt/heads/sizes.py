"""Checks of the sizes and options that heads are made with, and of the features that heads receive."""

from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy
from torch import Tensor

from losses.options import is_whole


def names_of(classes: int | Sequence[str], what: str = "`classes`", *, least: int = 2) -> list[str]:
    """Return the names of classes or labels: the given names, or the numbers from 0 on as texts.

    Args:
        classes: the number of classes, or the names of the classes.
        what: name of the argument in backticks, for the message.
        least: the smallest number allowed.

    Raises:
        TypeError: a text, or no number and no list of names.
        ValueError: fewer classes than `least`.
    """
    if isinstance(classes, Tensor | numpy.ndarray) and classes.ndim == 0 and is_whole(classes.item(), 0):
        classes = int(classes)  # as in `y.max() + 1`
    if isinstance(classes, str | bool) or not isinstance(classes, Integral | Iterable):
        raise TypeError(f"{what} must be a whole number or a list of names, got {classes!r}.")
    names = [str(name) for name in (range(classes) if isinstance(classes, Integral) else classes)]
    if len(names) < least:
        found = classes if isinstance(classes, Integral) else len(names)
        raise ValueError(f"{what} must be at least {least}, got {found}.")
    return names


def check_features(features: Tensor, dim: int) -> None:
    """Raise a ValueError unless the last axis of `features` has the size that the head was made for."""
    if not isinstance(features, Tensor):
        raise ValueError(
            f"`features` must be a tensor of size {dim}, got a {type(features).__name__}: a pyramid of maps is for "
            "heads.Dense and heads.Boxes; this head takes the encoder without `encoders.pyramid`."
        )
    if features.shape[-1] != dim:
        raise ValueError(
            f"`features` must have size {dim}, got {features.shape[-1]}: make the head with the encoder, "
            "`heads.Classifier(encoder, classes=...)`, or with `encoder.dim`."
        )
