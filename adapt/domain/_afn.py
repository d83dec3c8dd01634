"""Longer features."""

import losses
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def afn(source: str = "source", target: str = "target", *, weight: float | Schedule = 0.05, step: float = 1.0) -> Term:
    """Features of both streams grow by a step in length: stepwise adaptive feature norm, SAFN.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; 0.05 as in the authors' code.
        step: how much longer a row shall be than it is; 1 as in the authors' code.

    Xu et al., 2019, https://arxiv.org/abs/1811.07456
    """

    def both(at):
        return sum(losses.stepwise_feature_norm(at[name].features, step=step) for name in (source, target))

    return Term("afn", both, weight, streams=[source, target])
