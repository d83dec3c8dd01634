"""Domain-adversarial training."""

from torch import Tensor, nn

import losses
from adapt.domain.level import Level, joined
from adapt.domain.options import check_options
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.protocols import HasDim


def dann(
    encoder: HasDim | int,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "dann",
    weight: float | Schedule = 1.0,
    level: Level = None,
    strength: float | Schedule = ramp(1.0),
    hidden: int = 256,
) -> Term:
    r"""Learn features from which a discriminator cannot tell the domains apart: DANN.

    .. math:: \min_D \max_F\; \tfrac12 \bigl( \mathbb{E}_S [-\log D(F(x))] + \mathbb{E}_T [-\log (1 - D(F(x)))] \bigr)

    in one backward pass: the gradient is reversed between features and discriminator and scaled by `strength`.

    Args:
        encoder: of the trainer, or the feature size.
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term, discriminator included.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        strength: :math:`\lambda` of the reversed gradient; Ganin's rise from 0 to 1. The discriminator always learns at
            full rate.
        hidden: units of the discriminator's two hidden layers.

    Raises:
        TypeError: an `encoder` without `dim`.
        ValueError: an option with a wrong value.

    Ganin et al., 2016, https://arxiv.org/abs/1505.07818
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level, strength=strength, hidden=hidden)
    discriminator = Discriminator(encoder, hidden=hidden)
    return Term(name, Dann(discriminator, source, target, level, strength, name), weight, streams=[source, target])


class Dann(nn.Module):
    def __init__(self, discriminator, source, target, level, strength, name):
        super().__init__()
        self.discriminator, self.source, self.target = discriminator, source, target
        self.level, self.strength, self.name = level, strength, name

    def forward(self, step: Step) -> Tensor:
        strength = at(self.strength, step.progress)
        rows, n = joined(step, self.source, self.target, self.level)
        s, t = step.call(self.discriminator, losses.reverse(rows, strength)).tensor_split([n])
        if step.logging:
            report_accuracy(step, self.name, s, t)
            step.report(f"weight/{self.name}_strength", strength)
        return losses.domain_adversarial(s, t)


def report_accuracy(step: Step, name: str, source: Tensor, target: Tensor) -> None:
    """Report how often the logits of a discriminator name the right domain, with both domains at equal weight."""
    right = 0.5 * ((source > 0).float().mean() + (target <= 0).float().mean())
    step.report(f"domain_accuracy/{name}", right)
