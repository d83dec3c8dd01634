"""Transport of features and labels together."""

from typing import Any

from torch import nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def deep_jdot(
    head: nn.Module,
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = 1.0,
    **options: Any,
) -> Term:
    """Joint optimal transport of features and labels in each batch: DeepJDOT.

    Args:
        head: the classifier.
        source: labelled stream.
        target: stream; no labels are used. Batches may be of different sizes.
        weight: of the term; 1, its parts are weighted by the options.
        options: of :func:`losses.joint_transport`: ``feature_weight`` and ``label_weight`` are the paper's alpha and
            lambda (0.001 and 0.0001 for its digits); ``plan="exact"`` needs POT, ``"sinkhorn"`` nothing.

    Raises:
        TypeError: a head without classes.

    Damodaran et al., 2018, https://arxiv.org/abs/1803.10081
    """
    classes_of(head, "deep_jdot")
    return Term(
        "deep_jdot",
        lambda step: losses.joint_transport(
            step[source].features, step[target].features, step[source].labels, step.output(head, target), **options
        ),
        weight,
        streams=[source, target],
        modules=[head],
    )
