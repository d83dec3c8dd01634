"""Longer features."""

from functools import partial

from torch import Tensor

import losses
from adapt.domain.level import Level, both
from adapt.domain.options import check_options
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def afn(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "afn",
    weight: float | Schedule = 0.05,
    level: Level = None,
    step: float = 1.0,
) -> Term:
    """Lengthen the features of both streams by a step: stepwise adaptive feature norm, SAFN.

    Args:
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; 0.05 as in the authors' code.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        step: the length that a row shall gain; 1 as in the authors' code.

    Raises:
        ValueError: an option with a wrong value.

    Xu et al., 2019, https://arxiv.org/abs/1811.07456
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level, step=step)
    loss = partial(lengthened, source=source, target=target, level=level, by=step)
    return Term(name, loss, weight, streams=[source, target])


def lengthened(step: Step, *, source: str, target: str, level: Level, by: float) -> Tensor:
    """Return the sum of the losses of both streams."""
    s, t = both(step, source, target, level)
    return losses.stepwise_feature_norm(s, step=by) + losses.stepwise_feature_norm(t, step=by)
