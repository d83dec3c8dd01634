"""Alignment of covariances."""

from functools import partial
from typing import Any

import losses
from adapt.domain.level import Level, aligned
from adapt.domain.options import check_options, loss_options
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def deep_coral(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "deep_coral",
    weight: float | Schedule = ramp(1.0),
    level: Level = None,
    **options: Any,
) -> Term:
    """Align the covariances of the features of two streams by CORAL: Deep CORAL.

    Args:
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; Ganin's rise from 0 to 1. The paper chooses the weight so that the two losses are roughly
            the same at the end of training.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.coral`.

    Raises:
        TypeError: an option that :func:`losses.coral` does not have.
        ValueError: an option with a wrong value.

    Sun and Saenko, 2016, https://arxiv.org/abs/1607.01719
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level)
    options = loss_options(losses.coral, options)
    loss = partial(aligned, loss=losses.coral, source=source, target=target, level=level, **options)
    return Term(name, loss, weight, streams=[source, target])
