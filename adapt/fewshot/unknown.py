"""The threshold of the largest logit: a row below the threshold is of no known class."""

import math

import torch
from torch import Tensor

from adapt.fewshot.method import Inductive, Rule, prepared
from adapt.inductive._probe import folds_of
from losses.options import is_number

UNKNOWN, MOST_FITS = "unknown", 20


def largest(rule: Rule, x: Tensor) -> Tensor:
    """Return ``(n,)``, the largest logit of each row, with the common part of the logits of all classes."""
    x = prepared(x.to(rule.weight.dtype), rule.centre, rule.unit)
    logits = (x @ rule.weight.mT + rule.bias).amax(-1)
    if rule.square is None:
        return logits
    rest = x.square().sum(-1)
    if rule.directions is not None:
        rest = rest - (x @ rule.directions.mT).square().sum(-1)
    return logits - rule.square * rest


def threshold_of(method: Inductive, x: Tensor, y: Tensor, unknown: Tensor | float | str, false_accept: float) -> float:
    """Return the threshold of the largest logit.

    The threshold lies just above a score of an unknown row: rows with equal scores, such as copies, are unknown.

    Args:
        x: ``(n, d)`` features of known rows.
        y: ``(n,)`` numbers of the classes.
        unknown: ``(m, d)`` features of rows of unknown classes, ``"leave-one-out"``, or the threshold.
        false_accept: share of unknown rows above the threshold.

    Raises:
        ValueError: another text, NaN or infinity; fewer than three classes for ``"leave-one-out"``.
    """
    if isinstance(unknown, Tensor):
        scores = largest(method.fit(x, y), unknown)
    elif isinstance(unknown, str) and unknown == "leave-one-out":
        scores = _left_out(method, x, y)
    elif is_number(unknown):
        return float(unknown)
    else:
        raise ValueError(
            f"`unknown` must be 'leave-one-out', a finite number, or rows of unknown classes, got {unknown!r}."
        )
    place = math.ceil((1 - false_accept) * (len(scores) + 1))  # conformal: one unknown row more is below this place
    edge = float(scores.sort().values[min(place, len(scores)) - 1])
    return edge + 1e-5 * max(1.0, abs(edge))  # above the rounding of the score in the model


def _left_out(method: Inductive, x: Tensor, y: Tensor) -> Tensor:
    """Return the largest logit of each row, by a classifier without the class of the row.

    Each class is left out in turn; more than 20 classes are left out in 20 groups.
    """
    classes = y.unique()
    if len(classes) < 3 or method.columns is not None:
        why = f"got {len(classes)} classes" if method.columns is None else f"and {method.name} knows all classes"
        raise ValueError(
            f"`unknown='leave-one-out'` leaves classes out in turn and needs three classes, {why}: give rows of "
            "unknown classes, or the threshold."
        )
    group = torch.searchsorted(classes, y) % min(len(classes), MOST_FITS)
    scores = []
    for g in group.unique():
        out = group == g
        scores.append(largest(method.fit(x[~out], y[~out]), x[out]))
    return torch.cat(scores)


def refused_known(method: Inductive, x: Tensor, y: Tensor, threshold: float) -> float | None:
    """Return the share of known rows below a threshold in cross-validation; None if every class has a single row."""
    fold = torch.from_numpy(folds_of(y.cpu().numpy(), MOST_FITS, 0))
    scores = [largest(method.fit(x[fold != f], y[fold != f]), x[fold == f]) for f in fold[fold >= 0].unique()]
    return float((torch.cat(scores) < threshold).float().mean()) if scores else None
