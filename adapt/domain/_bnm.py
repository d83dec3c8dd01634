"""Confident and diverse predictions on the target, by their nuclear norm."""

from functools import partial

from torch import nn

import losses
from adapt.domain.level import on_predictions
from adapt.domain.options import check_options
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def bnm(head: nn.Module, *, target: str = "target", name: str = "bnm", weight: float | Schedule = 1.0) -> Term:
    """Maximise the nuclear norm of the predictions on an unlabelled stream: batch nuclear-norm maximisation, BNM.

    Args:
        head: the classifier.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Cui et al., 2020, https://arxiv.org/abs/2003.12237
    """
    classes_of(head, "bnm")
    check_options(target=target, name=name, weight=weight)
    loss = partial(on_predictions, loss=losses.batch_nuclear_norm, head=head, target=target)
    return Term(name, loss, weight, streams=[target], modules=[head])
