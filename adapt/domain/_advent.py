"""Entropy maps of a dense prediction without a trace of the domain."""

import math

import torch
from torch import Tensor, nn

import losses
from adapt.domain._dann import report_accuracy
from adapt.domain.options import check_options
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule, at
from adapt.protocols import classes_of


def advent(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "advent",
    weight: float | Schedule = 1e-3,
    strength: float | Schedule = 1.0,
    discriminator: nn.Module | None = None,
    hidden: int = 64,
) -> Term:
    r"""Train against a discriminator of maps of the weighted self-information of a segmentation: ADVENT.

    .. math:: I_c = -p_c \log p_c / \log C, \qquad p = \mathrm{softmax}(z)

    Args:
        head: from features to ``(n, classes, h, w)`` logits, with any number of places.
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term, discriminator included; 1e-3 as in the paper.
        strength: of the reversed gradient; 1.
        discriminator: from ``(n, classes, h, w)`` to logits for "from the source", of any shape. None makes three
            strided convolutions and a fourth convolution to one channel, for ``head.classes`` classes.
        hidden: channels of the first layer of the default discriminator.

    Raises:
        TypeError: a head without classes, where no `discriminator` is given.
        ValueError: an option with a wrong value.

    Vu et al., 2019, https://arxiv.org/abs/1811.12833
    """
    check_options(source=source, target=target, name=name, weight=weight, strength=strength, hidden=hidden)
    if discriminator is None:
        widths = [classes_of(head, "advent"), hidden, 2 * hidden, 4 * hidden]
        layers = [
            layer
            for a, b in zip(widths, widths[1:], strict=False)
            for layer in (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(0.2))
        ]
        discriminator = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))
    loss = Advent(head, discriminator, source, target, strength, name)
    return Term(name, loss, weight, streams=[source, target])


class Advent(nn.Module):
    def __init__(self, head, discriminator, source, target, strength, name):
        super().__init__()
        self.head, self.discriminator = head, discriminator
        self.source, self.target, self.strength, self.name = source, target, strength, name

    def forward(self, step: Step) -> Tensor:
        strength = at(self.strength, step.progress)
        maps = (self_information(step.output(self.head, stream)) for stream in (self.source, self.target))
        s, t = (step.call(self.discriminator, losses.reverse(shares, strength)) for shares in maps)
        if step.logging:
            report_accuracy(step, self.name, s, t)
        return losses.domain_adversarial(s.flatten(), t.flatten())


def self_information(logits: Tensor) -> Tensor:
    """Return ``(n, classes, ...)`` shares of the entropy at each place, in [0, 1]."""
    log_p = logits.log_softmax(1)
    finite = log_p.clamp_min(torch.finfo(log_p.dtype).min)  # a class of logit -inf has no share, and 0 * inf is NaN
    return -log_p.exp() * finite / math.log(logits.shape[1])
