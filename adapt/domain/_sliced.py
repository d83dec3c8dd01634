"""Alignment by sliced optimal transport."""

from typing import Any

import losses
from adapt.domain.level import Level, both
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def sliced(
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = ramp(1.0),
    level: Level = "rows",
    **options: Any,
) -> Term:
    """The sliced Wasserstein distance between the features of two streams, along directions drawn anew in each step.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; Ganin's rise from 0 to 1.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.sliced_wasserstein`.

    Lee et al., 2019, https://arxiv.org/abs/1902.00434
    """

    def distance(step):
        return losses.sliced_wasserstein(*both(step, source, target, level), generator=step.generator, **options)

    return Term("sliced", distance, weight, streams=[source, target])
