"""Alignment of covariances."""

import losses
from adapt.domain.level import Level, both
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def deep_coral(
    source: str = "source", target: str = "target", *, weight: float | Schedule = ramp(1.0), level: Level = "rows"
) -> Term:
    """CORAL between the features of two streams: Deep CORAL.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; Ganin's rise from 0 to 1. The paper chooses it so that at the end of training the two
            losses are roughly the same.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.

    Sun and Saenko, 2016, https://arxiv.org/abs/1607.01719
    """
    return Term(
        "coral", lambda step: losses.coral(*both(step, source, target, level)), weight, streams=[source, target]
    )
