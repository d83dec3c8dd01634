"""Disparity discrepancy, for regression."""

from torch import nn

import losses
from adapt.domain._mdd import Disparity
from adapt.domain.options import check_options
from adapt.engine import Term, ramp
from adapt.engine.schedule import Schedule
from adapt.heads import Regressor


def dd(
    head: Regressor,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "dd",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = ramp(0.1),
    margin: float = 1.0,
    hidden: int = 256,
) -> Term:
    """Learn features on which no second regressor agrees with the first on source and differs on target: DD.

    Args:
        head: the regressor. The term uses the predictions of the head without gradient. Scale the labels to about
            [0, 1]: the outputs of the second head are sigmoids, as in tllib, because the loss is unbounded otherwise.
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term, the adversarial head included.
        strength: of the reversed gradient; a rise from 0 to 0.1.
        margin: of :func:`losses.regression_disparity`; 1.
        hidden: units of the adversarial head's hidden layer.

    Raises:
        TypeError: a head other than a regressor.
        ValueError: an option with a wrong value.

    Zhang et al., 2019, https://arxiv.org/abs/1904.05801
    """
    if not isinstance(head, Regressor):
        raise TypeError(
            f"`head` of dd must be a heads.Regressor, got a {type(head).__name__}: use domain.mdd for a classifier."
        )
    check_options(source=source, target=target, name=name, weight=weight)
    check_options(strength=strength, margin=margin, hidden=hidden)
    last = [nn.Linear(hidden, head.outputs), nn.Sigmoid(), *([nn.Flatten(0)] if head.outputs == 1 else [])]
    adversary = nn.Sequential(nn.Linear(head.dim, hidden), nn.ReLU(), *last)
    disparity = Disparity(losses.regression_disparity, head, adversary, source, target, strength, margin, hidden)
    return Term(name, disparity, weight, streams=[source, target])
