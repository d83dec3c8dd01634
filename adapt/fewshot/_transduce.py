"""Answers for a set of queries together, with the names of the user."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import torch
from torch import nn

from adapt.engine.labelled_rows import encoded, labelled
from adapt.fewshot._alpha_tim import alpha_tim
from adapt.fewshot.method import Transductive
from losses.options import COUNT, check


class Answers(NamedTuple):
    """The answers for a set of queries.

    Attributes:
        predicted: ``(q,)`` names, an array of str.
        probabilities: ``(q, classes)``, in the order of `names`; the predicted name has the largest probability.
        names: of the classes.
    """

    predicted: numpy.ndarray
    probabilities: numpy.ndarray
    names: list[str]


def transduce(
    encoder: nn.Module,
    support: Any,
    names: Sequence[Any] | None = None,
    *,
    queries: Any,
    method: Transductive | None = None,
    classes: Sequence[str] | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Answers:
    """Name a set of queries together: the queries tell where the classes lie.

    The answer for a query depends on the other queries. So there is no model, and new queries are a new call with all
    queries.

    Args:
        encoder, support, names, classes, batch_size, device: as in :func:`fit`.
        queries: the rows to name, as `support` without names.
        method: None is :func:`alpha_tim`. With a prior in the order of the classes: :func:`pt_map`.

    Returns:
        Names and probabilities.

    Raises:
        TypeError: a method that is no transductive method.
        ValueError: as in :func:`fit`.
    """
    method = alpha_tim() if method is None else method
    if not isinstance(method, Transductive):
        raise TypeError(
            f"`method` must be a transductive method such as `fewshot.alpha_tim()`, got {method!r}: methods without a "
            "set of queries belong to `fewshot.fit`."
        )
    check(COUNT, batch_size=batch_size)
    how = {"batch_size": batch_size, "device": device}
    x, y, known = labelled(encoder, support, names, classes, **how)
    present = y.unique()
    if len(present) < len(known):
        absent = sorted(set(range(len(known))) - set(present.tolist()))
        raise ValueError(
            f"every class must have a row in `support`, and {len(absent)} have none, the first {known[absent[0]]!r}: "
            "leave the names of these classes out (`names=`, one for each row)."
        )
    p = method(x, y, encoded(encoder, queries, "`queries`", **how).tensors[0]).exp().numpy()
    return Answers(numpy.array(known)[p.argmax(1)], p, known)
