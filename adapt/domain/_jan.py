"""Alignment of features and predictions together."""

from typing import Any

from torch import Tensor, nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule


def jan(
    head: nn.Module,
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = ramp(1.0),
    **options: Any,
) -> Term:
    """Joint MMD of features and class probabilities between two streams: JAN.

    Args:
        head: the classifier.
        source, target: streams; no labels are used.
        weight: of the term; Ganin's rise from 0 to 1.
        options: of :func:`losses.joint_mmd`.

    Raises:
        TypeError: a head without classes.

    Long et al., 2017, https://arxiv.org/abs/1605.06636
    """
    classes_of(head, "jan")

    def layers(step: Step, stream: str) -> list[Tensor]:
        return [step[stream].features, step.output(head, stream).softmax(1)]

    return Term(
        "jan",
        lambda step: losses.joint_mmd(layers(step, source), layers(step, target), **options),
        weight,
        streams=[source, target],
        modules=[head],
    )
