"""Alignment by kernel mean discrepancy."""

from typing import Any

import losses
from adapt.domain.level import Level, both
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def dan(
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = ramp(1.0),
    level: Level = "rows",
    **options: Any,
) -> Term:
    """Multi-kernel MMD between the features of two streams: DAN, at one layer.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; Ganin's rise from 0 to 1, so that features mean something before they are aligned.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.mmd`.

    Long et al., 2015, https://arxiv.org/abs/1502.02791
    """
    return Term(
        "dan", lambda step: losses.mmd(*both(step, source, target, level), **options), weight, streams=[source, target]
    )
