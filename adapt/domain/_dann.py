"""Domain-adversarial training."""

from torch import Tensor, nn

import losses
from adapt.domain.level import Level, joined
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator


def dann(
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    strength: float | Schedule = ramp(1.0),
    weight: float | Schedule = 1.0,
    hidden: int = 256,
    level: Level = "rows",
) -> Term:
    r"""Features from which a discriminator cannot tell the domains: DANN.

    .. math:: \min_D \max_F\; \tfrac12 \bigl( \mathbb{E}_S [-\log D(F(x))] + \mathbb{E}_T [-\log (1 - D(F(x)))] \bigr)

    in one backward, by reversing the gradient between features and discriminator and scaling it by `strength`.

    Args:
        dim: feature size.
        source, target: streams; no labels are used.
        strength: :math:`\lambda` of the reversed gradient; Ganin's rise from 0 to 1. The discriminator itself always
            learns at full rate.
        weight: of the term, discriminator included.
        hidden: units of the discriminator's two hidden layers.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.

    Ganin et al., 2016, https://arxiv.org/abs/1505.07818
    """
    loss = Dann(Discriminator(dim, hidden=hidden), source, target, strength, level)
    return Term("dann", loss, weight, streams=[source, target])


class Dann(nn.Module):
    def __init__(
        self, discriminator: nn.Module, source: str, target: str, strength: float | Schedule, level: Level = "rows"
    ):
        super().__init__()
        self.discriminator, self.source, self.target = discriminator, source, target
        self.strength, self.level = strength, level

    def forward(self, step: Step) -> Tensor:
        strength = at(self.strength, step.progress)
        rows, n = joined(step, self.source, self.target, self.level)
        s, t = step.call(self.discriminator, losses.reverse(rows, strength)).tensor_split([n])
        if step.logging:
            step.report("domain_accuracy/dann", 0.5 * ((s > 0).float().mean() + (t <= 0).float().mean()))
            step.report("weight/dann_strength", strength)
        return losses.domain_adversarial(s, t)
