"""Smaller leading directions of the features."""

from functools import partial

import losses
from adapt.domain.level import Level, aligned
from adapt.domain.options import check_options
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def bsp(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "bsp",
    weight: float | Schedule = 1e-4,
    level: Level = None,
    count: int = 1,
) -> Term:
    """Penalise the largest singular values of the features of each domain: batch spectral penalisation, BSP.

    A term beside DANN or CDAN.

    Args:
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; 1e-4 as in the paper.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        count: singular values per domain; 1 as in the paper.

    Raises:
        ValueError: an option with a wrong value.

    Chen et al., 2019, https://proceedings.mlr.press/v97/chen19i.html
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level, count=count)
    penalty = losses.batch_spectral_penalization
    loss = partial(aligned, loss=penalty, source=source, target=target, level=level, count=count)
    return Term(name, loss, weight, streams=[source, target])
