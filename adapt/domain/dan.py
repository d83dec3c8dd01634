"""Alignment by kernel mean discrepancy."""

from typing import Any

import losses
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def dan(
    source: str = "source", target: str = "target", *, weight: float | Schedule = ramp(1.0), **options: Any
) -> Term:
    """Multi-kernel MMD between the features of two streams: DAN, at one layer.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; Ganin's rise from 0 to 1, so that features mean something before they are aligned.
        options: of :func:`losses.mmd`.

    Long et al., 2015, https://arxiv.org/abs/1502.02791
    """
    return Term(
        "dan",
        lambda step: losses.mmd(step[source].features, step[target].features, **options),
        weight,
        streams=[source, target],
    )
