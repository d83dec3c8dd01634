"""Alignment of third moments."""

from typing import Any

import losses
from adapt.domain.level import Level, both
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def homm(
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = ramp(1.0),
    level: Level = "rows",
    **options: Any,
) -> Term:
    """The distance between the third moments of the features of two streams: HoMM.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; Ganin's rise from 0 to 1. The size of the moments follows that of the features: the paper
            puts a tanh before them and takes weights up to 1e4.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.higher_order_moment_matching`; ``order=3``.

    Chen et al., 2020, https://arxiv.org/abs/1912.11976
    """
    return Term(
        "homm",
        lambda step: losses.higher_order_moment_matching(*both(step, source, target, level), **options),
        weight,
        streams=[source, target],
    )
