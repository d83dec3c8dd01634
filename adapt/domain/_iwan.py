"""Partial adaptation: source rows that no target row resembles are left out, softly."""

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator


def iwan(
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    strength: float | Schedule = ramp(1.0),
    weight: float | Schedule = 1.0,
    hidden: int = 256,
) -> Term:
    r"""Domain-adversarial training in which a source row counts as much as a second discriminator takes it for target.

    .. math::
        \ell(D) + \ell(D_0; w), \qquad w_i = \frac{1 - D(F(x_i))}{\tfrac1n \sum_j 1 - D(F(x_j))}

    :math:`D` only judges: it learns on features that are held, with equal weights, and sends no gradient to the encoder.
    :math:`D_0` is DANN's discriminator with weights w on its source rows, and has its gradient reversed. To be added to a
    supervised term, which is not weighted; the paper adds the target's entropy, ``losses.entropy``, with weight 0.1.

    Args:
        dim: feature size.
        source, target: streams; no labels are used, so any head will do.
        strength: of the reversed gradient of :math:`D_0`; Ganin's rise from 0 to 1.
        weight: of the term, both discriminators included.
        hidden: units of the discriminators' two hidden layers.

    Batches may differ in size. Exact on several ranks: the weights are normalised over the rows of all of them.

    Related: :func:`adapt.domain.pada` weighs classes, by the target's predictions. In the paper the weights come from
    features of a source encoder that is frozen, and the target has an encoder of its own; with one shared encoder, as in
    tllib, they follow the features that are aligned.

    Zhang et al., Importance Weighted Adversarial Nets for Partial Domain Adaptation, 2018, https://arxiv.org/abs/1803.09210
    """
    judge, discriminator = (Discriminator(dim, hidden=hidden) for _ in range(2))
    return Term("iwan", Iwan(judge, discriminator, source, target, strength), weight, streams=[source, target])


class Iwan(nn.Module):
    def __init__(self, judge, discriminator, source, target, strength):
        super().__init__()
        self.judge, self.discriminator = judge, discriminator
        self.source, self.target, self.strength = source, target, strength

    def forward(self, step: Step) -> Tensor:
        features, rows = step.features(self.source, self.target), [len(step[self.source].index)]
        judged, held = step.call(self.judge, features.detach()).tensor_split(rows)
        weights = torch.sigmoid(-judged.detach())  # 1 - D
        reversed_features = losses.reverse(features, at(self.strength, step.progress))
        s, t = step.call(self.discriminator, reversed_features).tensor_split(rows)
        return losses.domain_adversarial(judged, held) + losses.domain_adversarial(s, t, source_weights=weights)
