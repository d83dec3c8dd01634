"""Information about the class in the target's predictions."""

from torch import nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def im(head: nn.Module, target: str = "target", *, weight: float | Schedule = 1.0) -> Term:
    """Information maximisation of a classifier on an unlabelled stream: each row sure, all rows diverse.

    Args:
        head: the classifier.
        target: stream; no labels are used.
        weight: of the term; 1, as in SHOT.

    Raises:
        TypeError: a head without classes.

    Shi and Sha, 2012, https://arxiv.org/abs/1206.6438; Liang et al. (SHOT), 2020, https://arxiv.org/abs/2002.08546
    """
    classes_of(head, "im")
    return Term(
        "im",
        lambda step: losses.information_maximization(step.output(head, target)),
        weight,
        streams=[target],
        modules=[head],
    )
