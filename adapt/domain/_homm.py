"""Alignment of third moments."""

from functools import partial
from typing import Any

import losses
from adapt.domain.level import Level, aligned
from adapt.domain.options import check_options, loss_options
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def homm(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "homm",
    weight: float | Schedule = ramp(1.0),
    level: Level = None,
    **options: Any,
) -> Term:
    """Align the third moments of the features of two streams: HoMM.

    Args:
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; Ganin's rise from 0 to 1. The moments grow with the features: the paper puts a tanh before
            the moments and takes weights up to 1e4.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.higher_order_moment_matching`; ``order=3``.

    Raises:
        TypeError: an option that :func:`losses.higher_order_moment_matching` does not have.
        ValueError: an option with a wrong value.

    Chen et al., 2020, https://arxiv.org/abs/1912.11976
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level)
    distance = losses.higher_order_moment_matching
    options = loss_options(distance, options)
    loss = partial(aligned, loss=distance, source=source, target=target, level=level, **options)
    return Term(name, loss, weight, streams=[source, target])
