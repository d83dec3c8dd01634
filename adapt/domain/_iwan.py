"""Partial adaptation: lower weights for source rows without similar target rows."""

import torch
from torch import Tensor, nn

import losses
from adapt.domain._dann import report_accuracy
from adapt.domain.level import Level, joined
from adapt.domain.options import check_options
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.protocols import HasDim


def iwan(
    encoder: HasDim | int,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "iwan",
    weight: float | Schedule = 1.0,
    level: Level = None,
    strength: float | Schedule = ramp(1.0),
    hidden: int = 256,
) -> Term:
    r"""Train against a discriminator with source rows weighted by a second discriminator: IWAN.

    .. math::
        \ell(D) + \ell(D_0; w), \qquad w_i = \frac{1 - D(F(x_i))}{\tfrac1n \sum_j 1 - D(F(x_j))}

    A source row has a high weight where :math:`D` takes the row for a target row. :math:`D` only judges: :math:`D`
    learns from detached features, with equal weights, and sends no gradient to the encoder. :math:`D_0` is the
    discriminator of DANN with weights w on the source rows, and the gradient of :math:`D_0` is reversed. Needs a
    supervised term without weights; the paper adds the entropy of the target, ``losses.entropy``, with weight 0.1.

    Args:
        encoder: of the trainer, or the feature size.
        source, target: streams; no labels are used, so any head will do.
        name: of the term.
        weight: of the term, both discriminators included.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        strength: of the reversed gradient of :math:`D_0`; Ganin's rise from 0 to 1.
        hidden: units of the discriminators' two hidden layers.

    Batches may differ in size. Exact on several ranks: the weights are normalised over the rows of all ranks.

    Related: :func:`adapt.domain.pada` weighs classes, by the predictions on the target. In the paper, the weights come
    from features of a frozen source encoder, and the target has another encoder. With one shared encoder, as in tllib,
    the weights follow the aligned features.

    Raises:
        TypeError: an `encoder` without `dim`.
        ValueError: an option with a wrong value.

    Zhang et al., Importance Weighted Adversarial Nets for Partial Domain Adaptation, 2018, https://arxiv.org/abs/1803.09210
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level, strength=strength, hidden=hidden)
    judge, discriminator = (Discriminator(encoder, hidden=hidden) for _ in range(2))
    loss = Iwan(judge, discriminator, source, target, level, strength, name)
    return Term(name, loss, weight, streams=[source, target])


class Iwan(nn.Module):
    def __init__(self, judge, discriminator, source, target, level, strength, name):
        super().__init__()
        self.judge, self.discriminator, self.name = judge, discriminator, name
        self.source, self.target, self.level, self.strength = source, target, level, strength

    def forward(self, step: Step) -> Tensor:
        rows, n = joined(step, self.source, self.target, self.level)
        judged, held = step.call(self.judge, rows.detach()).tensor_split([n])
        weights = torch.sigmoid(-judged.detach())  # 1 - D
        reversed_rows = losses.reverse(rows, at(self.strength, step.progress))
        s, t = step.call(self.discriminator, reversed_rows).tensor_split([n])
        if step.logging:
            report_accuracy(step, self.name, s, t)
        return losses.domain_adversarial(judged, held) + losses.domain_adversarial(s, t, source_weights=weights)
