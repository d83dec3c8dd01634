"""Alignment by kernel mean discrepancy."""

from functools import partial
from typing import Any

import losses
from adapt.domain.level import Level, aligned
from adapt.domain.options import check_options, loss_options
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule


def dan(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "dan",
    weight: float | Schedule = ramp(1.0),
    level: Level = None,
    **options: Any,
) -> Term:
    """Align the features of two streams by multi-kernel MMD: DAN, at one layer.

    Args:
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; Ganin's rise from 0 to 1, so that the encoder learns useful features before alignment.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.mmd`.

    Raises:
        TypeError: an option that :func:`losses.mmd` does not have.
        ValueError: an option with a wrong value.

    Long et al., 2015, https://arxiv.org/abs/1502.02791
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level)
    options = loss_options(losses.mmd, options)
    loss = partial(aligned, loss=losses.mmd, source=source, target=target, level=level, **options)
    return Term(name, loss, weight, streams=[source, target])
