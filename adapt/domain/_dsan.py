"""Alignment class by class."""

from typing import Any

from torch import nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def dsan(
    head: nn.Module,
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = ramp(0.5),
    **options: Any,
) -> Term:
    """Local MMD between the classes of two streams, the target's by their predicted probabilities: DSAN.

    Args:
        head: the classifier.
        source: labelled stream.
        target: stream; no labels are used.
        weight: of the term; a rise from 0 to 0.5, the authors' largest weight.
        options: of :func:`losses.local_mmd`.

    Raises:
        TypeError: a head without classes.

    Zhu et al., 2021, https://arxiv.org/abs/2106.09388
    """
    classes_of(head, "dsan")
    return Term(
        "dsan",
        lambda step: losses.local_mmd(
            step[source].features, step[target].features, step[source].labels, step.output(head, target), **options
        ),
        weight,
        streams=[source, target],
        modules=[head],
    )
