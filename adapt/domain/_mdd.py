"""Margin disparity discrepancy."""

from torch import Tensor, nn

import losses
from adapt.domain.options import check_options, feature_size
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.protocols import classes_of


def mdd(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "mdd",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = ramp(0.1),
    margin: float = 4.0,
    hidden: int = 256,
) -> Term:
    """Learn features on which no second classifier agrees with the first on source and differs on target: MDD.

    Args:
        head: the classifier, with the feature size in ``head.dim``. The term uses the decisions of the head without
            gradient.
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term, the adversarial head included.
        strength: of the reversed gradient; the authors' rise from 0 to 0.1.
        margin: of :func:`losses.margin_disparity`; 4, as in tllib.
        hidden: units of the adversarial head's hidden layer.

    Raises:
        TypeError: a head without classes or without `dim`.
        ValueError: an option with a wrong value.

    Zhang et al., 2019, https://arxiv.org/abs/1904.05801
    """
    classes = classes_of(head, "mdd", "domain.dd for a regressor, or domain.dann")
    check_options(source=source, target=target, name=name, weight=weight)
    check_options(strength=strength, margin=margin, hidden=hidden)
    adversary = nn.Sequential(nn.Linear(feature_size(head), hidden), nn.ReLU(), nn.Linear(hidden, classes))
    disparity = Disparity(losses.margin_disparity, head, adversary, source, target, strength, margin, hidden)
    return Term(name, disparity, weight, streams=[source, target])


class Disparity(nn.Module):
    """Two heads on the same features, the second behind a reversed gradient."""

    def __init__(self, loss, head, adversary, source, target, strength, margin, hidden):
        super().__init__()
        self.loss, self.head, self.adversary = loss, head, adversary
        self.source, self.target, self.strength, self.margin, self.hidden = source, target, strength, margin, hidden

    def forward(self, step: Step) -> Tensor:
        names, n = (self.source, self.target), len(step[self.source].index)
        features = losses.reverse(step.features(*names), at(self.strength, step.progress))
        s, t = step.call(self.adversary, features).tensor_split([n])
        return self.loss(step.output(self.head, names[0]), s, step.output(self.head, names[1]), t, margin=self.margin)
