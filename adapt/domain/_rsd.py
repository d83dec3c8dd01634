"""Alignment of subspaces, for regression."""

from functools import partial
from typing import Any

import losses
from adapt.domain.level import Level, aligned
from adapt.domain.options import check_options, loss_options
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def rsd(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "rsd",
    weight: float | Schedule = 1e-3,
    level: Level = None,
    **options: Any,
) -> Term:
    """Align the subspaces spanned by the features of two streams, and leave the lengths of the features alone: RSD.

    The term has no units. The loss of the labels has none either, with the natural scale of :class:`heads.Regressor`:
    one `weight` fits labels in any unit.

    Args:
        source, target: streams with together fewer rows than features; no labels are used. With more rows the two
            subspaces share directions: their angle is 0, and rounding decides its gradient.
        name: of the term.
        weight: of the term; 1e-3 as in the authors' code.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.representation_subspace_distance`.

    Raises:
        TypeError: an option that :func:`losses.representation_subspace_distance` does not have.
        ValueError: an option with a wrong value.

    Chen et al., 2021, https://proceedings.mlr.press/v139/chen21u.html
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level)
    distance = losses.representation_subspace_distance
    options = loss_options(distance, options)
    loss = partial(aligned, loss=distance, source=source, target=target, level=level, **options)
    return Term(name, loss, weight, streams=[source, target])
