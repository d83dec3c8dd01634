"""Alignment of features and predictions together."""

from functools import partial
from typing import Any

from torch import Tensor, nn

import losses
from adapt.domain.options import check_options, loss_options
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def jan(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "jan",
    weight: float | Schedule = ramp(1.0),
    **options: Any,
) -> Term:
    """Align features and class probabilities of two streams by joint MMD: JAN.

    Args:
        head: the classifier.
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; Ganin's rise from 0 to 1.
        options: of :func:`losses.joint_mmd`.

    Raises:
        TypeError: a head without classes; an option that :func:`losses.joint_mmd` does not have.
        ValueError: an option with a wrong value.

    Long et al., 2017, https://arxiv.org/abs/1605.06636
    """
    classes_of(head, "jan")
    check_options(source=source, target=target, name=name, weight=weight)
    options = loss_options(losses.joint_mmd, options)
    loss = partial(joint, head=head, source=source, target=target, **options)
    return Term(name, loss, weight, streams=[source, target], modules=[head])


def joint(step: Step, *, head: nn.Module, source: str, target: str, **options: Any) -> Tensor:
    """Return the joint MMD of two layers, features and probabilities."""

    def layers(stream: str) -> list[Tensor]:
        return [step[stream].features, step.output(head, stream).softmax(1)]

    return losses.joint_mmd(layers(source), layers(target), **options)
