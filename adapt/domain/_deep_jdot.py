"""Transport of features and labels together."""

from functools import partial
from typing import Any

from torch import nn

import losses
from adapt.domain.level import with_source_labels
from adapt.domain.options import check_options, loss_options
from adapt.engine import Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def deep_jdot(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "deep_jdot",
    weight: float | Schedule = 1.0,
    **options: Any,
) -> Term:
    """Align features and labels together by optimal transport in each batch: DeepJDOT.

    Args:
        head: the classifier.
        source: labelled stream. Needs a supervised term beside this term.
        target: stream; no labels are used. Batches may be of different sizes.
        name: of the term.
        weight: of the term; 1, since the options weigh the parts of the loss.
        options: of :func:`losses.joint_transport`: ``feature_weight`` and ``label_weight`` are alpha and lambda of the
            paper (0.001 and 0.0001 for the digits there); ``plan="exact"`` needs POT, ``"sinkhorn"`` nothing.

    Raises:
        TypeError: a head without classes; an option that :func:`losses.joint_transport` does not have.
        ValueError: an option with a wrong value.
        ImportError: ``plan="exact"`` without POT.

    Damodaran et al., 2018, https://arxiv.org/abs/1803.10081
    """
    classes_of(head, "deep_jdot")
    check_options(source=source, target=target, name=name, weight=weight)
    options = loss_options(losses.joint_transport, options)
    loss = partial(with_source_labels, loss=losses.joint_transport, head=head, source=source, target=target, **options)
    return Term(name, loss, weight, streams=[source, target], modules=[head])
