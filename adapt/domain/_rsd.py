"""Alignment of subspaces, for regression."""

from typing import Any

import losses
from adapt.domain.level import Level, both
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def rsd(
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = 1e-3,
    level: Level = "rows",
    **options: Any,
) -> Term:
    """Distance between the subspaces that the features of two streams span, which leaves their lengths alone: RSD.

    Args:
        source, target: streams of fewer rows than features; no labels are used.
        weight: of the term; 1e-3 as in the authors' code.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.representation_subspace_distance`.

    Chen et al., 2021, https://proceedings.mlr.press/v139/chen21u.html
    """
    return Term(
        "rsd",
        lambda step: losses.representation_subspace_distance(*both(step, source, target, level), **options),
        weight,
        streams=[source, target],
    )
