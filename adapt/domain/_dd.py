"""Disparity discrepancy, for regression."""

from torch import nn

import losses
from adapt.domain._mdd import Disparity
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule
from adapt.heads import Regressor


def dd(
    head: Regressor,
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    margin: float = 1.0,
    strength: float | Schedule = ramp(0.1),
    weight: float | Schedule = 1.0,
    hidden: int = 256,
) -> Term:
    """Features on which no second regressor agrees with the first on source and differs on target: DD.

    Args:
        head: the regressor; its predictions are taken as they are, without gradient. Scale the labels to about [0, 1]:
            the second head's outputs are sigmoids, because the loss is unbounded otherwise (tllib does so too).
        dim: feature size.
        source, target: streams; no labels are used here.
        margin: of :func:`losses.regression_disparity`; 1.
        strength: of the reversed gradient; a rise from 0 to 0.1.
        weight: of the term, the adversarial head included.
        hidden: units of the adversarial head's hidden layer.

    Raises:
        TypeError: a head that is no regressor.

    Zhang et al., 2019, https://arxiv.org/abs/1904.05801
    """
    if not isinstance(head, Regressor):
        raise TypeError(f"dd compares two regressors, got a {type(head).__name__}: use domain.mdd for a classifier.")
    last = [nn.Linear(hidden, head.outputs), nn.Sigmoid(), *([nn.Flatten(0)] if head.outputs == 1 else [])]
    adversary = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), *last)
    disparity = Disparity(losses.regression_disparity, head, adversary, source, target, strength, margin)
    return Term("dd", disparity, weight, streams=[source, target])
