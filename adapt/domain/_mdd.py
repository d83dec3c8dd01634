"""Margin disparity discrepancy."""

from torch import Tensor, nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at


def mdd(
    head: nn.Module,
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    margin: float = 4.0,
    strength: float | Schedule = ramp(0.1),
    weight: float | Schedule = 1.0,
    hidden: int = 256,
) -> Term:
    """Features on which no second classifier agrees with the first on source and differs on target: MDD.

    Args:
        head: the classifier; its decisions are taken as they are, without gradient.
        dim: feature size.
        source, target: streams; no labels are used here.
        margin: of :func:`losses.margin_disparity`; 4, tllib's.
        strength: of the reversed gradient; the authors' rise from 0 to 0.1.
        weight: of the term, the adversarial head included.
        hidden: units of the adversarial head's hidden layer.

    Raises:
        TypeError: a head without classes.

    Zhang et al., 2019, https://arxiv.org/abs/1904.05801
    """
    classes = classes_of(head, "mdd", "domain.dd for a regressor, or domain.dann")
    adversary = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    disparity = Disparity(losses.margin_disparity, head, adversary, source, target, strength, margin)
    return Term("mdd", disparity, weight, streams=[source, target])


class Disparity(nn.Module):
    """Two heads on the same features, the second behind a reversed gradient."""

    def __init__(self, loss, head, adversary, source, target, strength, margin):
        super().__init__()
        self.loss, self.head, self.adversary, self.strength, self.margin = loss, head, adversary, strength, margin
        self.source, self.target = source, target

    def forward(self, step: Step) -> Tensor:
        names, n = (self.source, self.target), len(step[self.source].index)
        features = losses.reverse(step.features(*names), at(self.strength, step.progress))
        s, t = step.call(self.adversary, features).tensor_split([n])
        return self.loss(step.output(self.head, names[0]), s, step.output(self.head, names[1]), t, margin=self.margin)
