"""Sure and diverse predictions on the target."""

from torch import nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def bnm(head: nn.Module, target: str = "target", *, weight: float | Schedule = 1.0) -> Term:
    """Batch nuclear-norm maximisation of a classifier's predictions on an unlabelled stream: BNM.

    Args:
        head: the classifier.
        target: stream; no labels are used.
        weight: of the term; 1 as in the paper.

    Raises:
        TypeError: a head without classes.

    Cui et al., 2020, https://arxiv.org/abs/2003.12237
    """
    classes_of(head, "bnm")
    return Term(
        "bnm",
        lambda step: losses.batch_nuclear_norm(step.output(head, target)),
        weight,
        streams=[target],
        modules=[head],
    )
