"""Less confusion between classes on the target."""

from torch import nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def mcc(
    head: nn.Module,
    target: str = "target",
    *,
    weight: float | Schedule = 1.0,
    temperature: float = 2.5,
) -> Term:
    """Minimum class confusion of a classifier on an unlabelled stream: MCC.

    Args:
        head: the classifier.
        target: stream; no labels are used.
        weight: of the term; 1 as in the paper.
        temperature: 2.5 as in the paper.

    Raises:
        TypeError: a head without classes.

    Jin et al., 2020, https://arxiv.org/abs/1912.03699
    """
    classes_of(head, "mcc")
    return Term(
        "mcc",
        lambda step: losses.minimum_class_confusion(step.output(head, target), temperature=temperature),
        weight,
        streams=[target],
        modules=[head],
    )
