"""Alignment class by class."""

from functools import partial
from typing import Any

from torch import nn

import losses
from adapt.domain.level import with_source_labels
from adapt.domain.options import check_options, loss_options
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def dsan(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "dsan",
    weight: float | Schedule = ramp(0.5),
    **options: Any,
) -> Term:
    """Align each class of the source with the same class of the target, as predicted, by local MMD: DSAN.

    Args:
        head: the classifier. The predicted probabilities say how much of a target row belongs to each class.
        source: labelled stream. Needs a supervised term beside this term.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; a rise from 0 to 0.5, the largest weight of the authors.
        options: of :func:`losses.local_mmd`.

    Raises:
        TypeError: a head without classes; an option that :func:`losses.local_mmd` does not have.
        ValueError: an option with a wrong value.

    Zhu et al., 2021, https://arxiv.org/abs/2106.09388
    """
    classes_of(head, "dsan")
    check_options(source=source, target=target, name=name, weight=weight)
    options = loss_options(losses.local_mmd, options)
    loss = partial(with_source_labels, loss=losses.local_mmd, head=head, source=source, target=target, **options)
    return Term(name, loss, weight, streams=[source, target], modules=[head])
