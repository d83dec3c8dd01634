"""The threshold below which a row is of no known class."""

import math

import torch
from torch import Tensor

from adapt.fewshot.method import Inductive, Rule, prepared
from adapt.inductive._probe import folds_of

UNKNOWN, MOST_FITS = "unknown", 20


def largest(rule: Rule, x: Tensor) -> Tensor:
    """Return ``(n,)``, the largest logit of each row, with the part that is equal for all classes."""
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

    Args:
        x: ``(n, d)`` features of known rows.
        y: ``(n,)`` numbers of the classes.
        unknown: ``(m, d)`` features of rows of unknown classes, ``"leave-one-out"``, or the threshold.
        false_accept: share of unknown rows above the threshold.

    Raises:
        ValueError: another text; fewer than three classes to leave one out.
    """
    if isinstance(unknown, str):
        if unknown != "leave-one-out":
            raise ValueError(
                f"`unknown` must be 'leave-one-out', a number, or rows of unknown classes, got {unknown!r}."
            )
        scores = _left_out(method, x, y)
    elif isinstance(unknown, Tensor):
        scores = largest(method.fit(x, y), unknown)
    else:
        return float(unknown)
    place = math.ceil((1 - false_accept) * (len(scores) + 1))  # conformal: one unknown row more is below this place
    return float(scores.sort().values[min(place, len(scores)) - 1])


def _left_out(method: Inductive, x: Tensor, y: Tensor) -> Tensor:
    """Return the largest logit of each row, of a classifier that does not know the class of the row.

    Classes are left out one by one, or in 20 groups where there are more classes.
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
    """Return the share of known rows below a threshold in cross-validation; None where no class has two rows."""
    fold = torch.from_numpy(folds_of(y.cpu().numpy(), MOST_FITS, 0))
    scores = [largest(method.fit(x[fold != f], y[fold != f]), x[fold == f]) for f in fold[fold >= 0].unique()]
    return float((torch.cat(scores) < threshold).float().mean()) if scores else None
