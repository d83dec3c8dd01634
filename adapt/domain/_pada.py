"""Partial adaptation: lower weights for source classes that the target lacks."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import losses
from adapt.domain._dann import report_accuracy
from adapt.domain.options import check_options, feature_size
from adapt.domain.sources import check_labels
from adapt.engine import Step, Term, gather, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.protocols import Head, Source, classes_of, expect_head


def pada(
    head: Head,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "pada",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = ramp(1.0),
    momentum: float = 0.99,
    temperature: float = 1.0,
    hidden: int = 256,
) -> Term:
    r"""Train head and discriminator with source classes weighted by the predictions on the target: PADA.

    .. math::
        \frac{\sum_i \gamma_{y_i} \ell(h(F(x_i)), y_i)}{\sum_i \gamma_{y_i}} + \ell_D, \qquad
        \gamma = \frac{\bar p}{\max_c \bar p_c}, \qquad \bar p = \mathbb{E}_T [\mathrm{softmax}(h(F(x)) / T)]

    with :math:`\ell_D` the loss of DANN, on reversed features, with source rows weighted by :math:`\gamma_{y_i}` too.
    Holds the supervised loss: no ``adapt.supervised`` beside this term.

    Args:
        head: the classifier, of all source classes, with the feature size in ``head.dim``.
        source: labelled stream.
        target: stream with some of the source classes; no labels are used.
        name: of the term.
        weight: of the term, discriminator included.
        strength: of the reversed gradient; Ganin's rise from 0 to 1.
        momentum: of the running mean :math:`\bar p` of target predictions: 0.99, about the last 100 batches. The mean
            is equal for all classes at first.
        temperature: T; 1 as in the paper. tllib sharpens with 0.1.
        hidden: units of the discriminator's two hidden layers.

    Buffer, in the state_dict: ``share`` ``(classes,)``, :math:`\bar p`, from the predictions of all ranks and the same
    on each rank, without gradient.

    The authors compute :math:`\gamma` anew from the whole target every 500 steps and hold the weights in between. The
    running mean over batches needs no pass over the target, but lags by about ``1 / (1 - momentum)`` steps, sees
    predictions under dropout, and moves in every step. Both losses are divided by the sum of the weights, as in tllib;
    the paper divides by the number of rows, so that the discriminator sees less of the source when fewer classes are
    shared.

    Raises:
        TypeError: a head without classes, without a `loss` or without `dim`.
        ValueError: a source without labels, an option with a wrong value.

    Cao et al., Partial Adversarial Domain Adaptation, 2018, https://arxiv.org/abs/1808.04205
    """
    classes = classes_of(head, "pada")
    check_options(source=source, target=target, name=name, weight=weight, strength=strength)
    check_options(momentum=momentum, temperature=temperature, hidden=hidden)
    discriminator = Discriminator(feature_size(head), hidden=hidden)
    loss = Pada(expect_head(head), classes, discriminator, source, target, strength, momentum, temperature, name)
    return Term(name, loss, weight, streams=[source, target], supervises=[source])


class Pada(nn.Module):
    share: Tensor

    def __init__(self, head, classes, discriminator, source, target, strength, momentum, temperature, name):
        super().__init__()
        self.head, self.discriminator, self.source, self.target = head, discriminator, source, target
        self.strength, self.momentum, self.temperature, self.name = strength, momentum, temperature, name
        self.register_buffer("share", torch.full((classes,), 1 / classes))

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, [self.source])

    def forward(self, step: Step) -> Tensor:
        labels = step[self.source].labels
        weights = self.class_weights(step.output(self.head, self.target))[labels]
        features = losses.reverse(step.features(self.source, self.target), at(self.strength, step.progress))
        s, t = step.call(self.discriminator, features).tensor_split([len(labels)])
        classify = losses.weighted_cross_entropy(step.output(self.head, self.source), labels, weights=weights)
        domain = losses.domain_adversarial(s, t, source_weights=weights)
        if step.logging:
            report_accuracy(step, self.name, s, t)
            step.report(f"loss/{self.name}_classify", classify)
            step.report(f"loss/{self.name}_domain", domain)
            step.report(f"weight/{self.name}_smallest_class", self.share.min() / self.share.max())
        return classify + domain

    @torch.no_grad()
    def class_weights(self, logits: Tensor) -> Tensor:
        """Update the running mean with target predictions and return ``(classes,)`` weights, the largest weight 1."""
        seen = gather((logits / self.temperature).softmax(1).mean(0)[None]).mean(0)
        self.share.lerp_(seen.to(self.share.dtype), 1 - self.momentum)
        return self.share / self.share.max()
