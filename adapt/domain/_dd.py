"""Disparity discrepancy, for regression."""

from functools import partial

from torch import Tensor, nn

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
    r"""Learn features on which no second regressor agrees with the first on source and differs on target: DD.

    Args:
        head: the regressor. The term uses the predictions of the head without gradient, and without units:
            :math:`\tfrac12 + z / 6` of the standardised prediction z, so that labels within three deviations of their
            mean lie in [0, 1]. The outputs of the second head are sigmoids, as in tllib, because the loss is unbounded
            otherwise. With ``heads.Regressor(scale=None)`` scale the labels to about [0, 1] yourself.
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
    loss = partial(in_unit_interval, head)
    disparity = Disparity(loss, head, adversary, source, target, strength, margin, hidden)
    return Term(name, disparity, weight, streams=[source, target])


def in_unit_interval(
    head: Regressor, source: Tensor, first: Tensor, target: Tensor, second: Tensor, *, margin: float
) -> Tensor:
    """Return the disparity between the predictions of the head, moved to about [0, 1], and the second head."""
    s, t = (0.5 + head.standardized(f) / 6 if head.scale else f for f in (source, target))
    return losses.regression_disparity(s, first, t, second, margin=margin)
