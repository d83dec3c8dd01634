"""Entropy maps of a dense prediction that do not tell the domain."""

import math

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule, at


def advent(
    head: nn.Module,
    classes: int,
    source: str = "source",
    target: str = "target",
    *,
    strength: float | Schedule = 1.0,
    weight: float | Schedule = 1e-3,
    discriminator: nn.Module | None = None,
    hidden: int = 64,
) -> Term:
    r"""A discriminator on maps of the weighted self-information of a segmentation: ADVENT.

    .. math:: I_c = -p_c \log p_c / \log C, \qquad p = \mathrm{softmax}(z)

    Args:
        head: from features to ``(n, classes, h, w)`` logits (any number of places).
        classes: how many.
        source, target: streams; no labels are used here.
        strength: of the reversed gradient; 1.
        weight: of the term, discriminator included; 1e-3 as in the paper.
        discriminator: from ``(n, classes, h, w)`` to logits of "this is source", of any shape; None is three strided
            convolutions and a fourth to one channel.
        hidden: channels of its first layer.

    Vu et al., 2019, https://arxiv.org/abs/1811.12833
    """
    if discriminator is None:
        widths = [classes, hidden, 2 * hidden, 4 * hidden]
        layers = [
            layer
            for a, b in zip(widths, widths[1:], strict=False)
            for layer in (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(0.2))
        ]
        discriminator = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))
    return Term("advent", Advent(head, discriminator, source, target, strength), weight, streams=[source, target])


class Advent(nn.Module):
    def __init__(self, head, discriminator, source, target, strength):
        super().__init__()
        self.head, self.discriminator = head, discriminator
        self.source, self.target, self.strength = source, target, strength

    def forward(self, step: Step) -> Tensor:
        strength = at(self.strength, step.progress)
        s, t = (
            step.call(self.discriminator, losses.reverse(self_information(step.output(self.head, name)), strength))
            for name in (self.source, self.target)
        )
        if step.logging:
            step.report("domain_accuracy/advent", 0.5 * ((s > 0).float().mean() + (t <= 0).float().mean()))
        return losses.domain_adversarial(s.flatten(), t.flatten())


def self_information(logits: Tensor) -> Tensor:
    """``(n, classes, ...)`` shares of the entropy at each place, in [0, 1]."""
    log_p = logits.log_softmax(1)
    finite = log_p.clamp_min(torch.finfo(log_p.dtype).min)  # a class of logit -inf has no share, and 0 * inf is NaN
    return -log_p.exp() * finite / math.log(logits.shape[1])
