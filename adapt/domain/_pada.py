"""Partial adaptation: source classes that the target does not have are left out, softly."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import losses
from adapt.domain.sources import check_classes, check_labels
from adapt.engine import Step, Term, gather, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.streams import Stream


def pada(
    head: nn.Module,
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    momentum: float = 0.99,
    temperature: float = 1.0,
    strength: float | Schedule = ramp(1.0),
    weight: float | Schedule = 1.0,
    hidden: int = 256,
) -> Term:
    r"""Domain-adversarial training in which a source class counts as much as the target is predicted to hold of it: PADA.

    .. math::
        \frac{\sum_i \gamma_{y_i} \ell(h(F(x_i)), y_i)}{\sum_i \gamma_{y_i}} + \ell_D, \qquad
        \gamma = \frac{\bar p}{\max_c \bar p_c}, \qquad \bar p = \mathbb{E}_T [\mathrm{softmax}(h(F(x)) / T)]

    with :math:`\ell_D` DANN's loss, its source rows weighted by :math:`\gamma_{y_i}` too, features reversed. It holds
    the source loss: add no supervised term.

    Args:
        head: the classifier, of all source classes.
        dim: feature size.
        source: labelled stream.
        target: stream whose classes are some of the source's; no labels are used.
        momentum: of the running mean :math:`\bar p` of target predictions: 0.99, about the last 100 batches. It begins
            equal for all classes.
        temperature: T; 1 as in the paper. tllib sharpens with 0.1.
        strength: of the reversed gradient; Ganin's rise from 0 to 1.
        weight: of the term, discriminator included.
        hidden: units of the discriminator's two hidden layers.

    Buffer, in the state_dict: ``share`` ``(classes,)``, :math:`\bar p`. It takes in the predictions of all ranks and is the
    same on each; no gradient flows into it.

    The authors compute :math:`\gamma` anew from the whole target every 500 steps and hold it in between. Here it is a
    running mean over batches: no pass over the target, but it lags by about ``1 / (1 - momentum)`` steps, is seen through
    dropout, and moves in every step. Both losses are divided by the sum of their weights, as in tllib; the paper divides
    by the number of rows, so that its discriminator sees less of the source the fewer classes are shared.

    Raises:
        TypeError: a head that is no classifier.
        ValueError: `momentum` outside [0, 1), `temperature` that is not positive, a source without labels.

    Cao et al., Partial Adversarial Domain Adaptation, 2018, https://arxiv.org/abs/1808.04205
    """
    if not 0 <= momentum < 1 or not temperature > 0:
        raise ValueError(f"`momentum` must be in [0, 1) and `temperature` positive, got {momentum} and {temperature}.")
    loss = Pada(head, Discriminator(dim, hidden=hidden), source, target, momentum, temperature, strength)
    return Term("pada", loss, weight, streams=[source, target])


class Pada(nn.Module):
    share: Tensor

    def __init__(self, head, discriminator, source, target, momentum, temperature, strength):
        super().__init__()
        self.head, self.discriminator, self.source, self.target = head, discriminator, source, target
        self.momentum, self.temperature, self.strength = momentum, temperature, strength
        classes = check_classes(head)
        self.register_buffer("share", torch.full((classes,), 1 / classes))

    def check(self, streams: Mapping[str, Stream]) -> None:
        check_labels(self.head, streams, [self.source])

    def forward(self, step: Step) -> Tensor:
        labels = step[self.source].labels
        weights = self.class_weights(step.output(self.head, self.target))[labels]
        features = losses.reverse(step.features(self.source, self.target), at(self.strength, step.progress))
        s, t = step.call(self.discriminator, features).tensor_split([len(labels)])
        classify = losses.weighted_cross_entropy(step.output(self.head, self.source), labels, weights=weights)
        domain = losses.domain_adversarial(s, t, source_weights=weights)
        if step.logging:
            step.report("loss/pada_classify", classify)
            step.report("loss/pada_domain", domain)
            step.report("weight/pada_smallest_class", self.share.min() / self.share.max())
        return classify + domain

    @torch.no_grad()
    def class_weights(self, logits: Tensor) -> Tensor:
        """Take in the target's predictions and return ``(classes,)`` weights, the largest of them 1."""
        seen = gather((logits / self.temperature).softmax(1).mean(0)[None]).mean(0)
        self.share.lerp_(seen.to(self.share.dtype), 1 - self.momentum)
        return self.share / self.share.max()
