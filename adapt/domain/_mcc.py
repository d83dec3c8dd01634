"""Less confusion between classes on the target."""

from functools import partial

from torch import nn

import losses
from adapt.domain.level import on_predictions
from adapt.domain.options import check_options
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def mcc(
    head: nn.Module,
    *,
    target: str = "target",
    name: str = "mcc",
    weight: float | Schedule = 1.0,
    temperature: float = 2.5,
) -> Term:
    """Minimise the confusion of a classifier between classes on an unlabelled stream: minimum class confusion, MCC.

    Args:
        head: the classifier.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.
        temperature: of the softmax; 2.5 as in the paper.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Jin et al., 2020, https://arxiv.org/abs/1912.03699
    """
    classes_of(head, "mcc")
    check_options(target=target, name=name, weight=weight, temperature=temperature)
    confusion = losses.minimum_class_confusion
    loss = partial(on_predictions, loss=confusion, head=head, target=target, temperature=temperature)
    return Term(name, loss, weight, streams=[target], modules=[head])
