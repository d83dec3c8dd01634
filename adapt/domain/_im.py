"""Confident and diverse predictions on the target, by their information about the class."""

from functools import partial

from torch import nn

import losses
from adapt.domain.level import on_predictions
from adapt.domain.options import check_options
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def im(head: nn.Module, *, target: str = "target", name: str = "im", weight: float | Schedule = 1.0) -> Term:
    """Maximise the information in the predictions on an unlabelled stream: each row is confident, all rows are diverse.

    Args:
        head: the classifier.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1, as in SHOT.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Shi and Sha, 2012, https://arxiv.org/abs/1206.6438; Liang et al. (SHOT), 2020, https://arxiv.org/abs/2002.08546
    """
    classes_of(head, "im")
    check_options(target=target, name=name, weight=weight)
    loss = partial(on_predictions, loss=losses.information_maximization, head=head, target=target)
    return Term(name, loss, weight, streams=[target], modules=[head])
