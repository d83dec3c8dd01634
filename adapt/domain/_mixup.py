"""No target: rows between the domains."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

import losses
from adapt.domain.options import check_options
from adapt.domain.sources import check_labels, check_names
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import Head, Source, classes_of, expect_head
from adapt.streams.tree import concatenate, structure


def mixup(
    head: Head,
    *,
    sources: Sequence[str],
    name: str = "mixup",
    weight: float | Schedule = 1.0,
    mix: Literal["inputs", "features"] = "inputs",
    alpha: float = 0.2,
) -> Term:
    r"""Train on mixtures of rows of two domains: inter-domain Mixup.

    .. math::
        \frac1n \sum_i \lambda\, \ell(h(\tilde x_i), y_i) + (1 - \lambda)\, \ell(h(\tilde x_i), y_{i'}), \qquad
        \tilde x_i = \lambda x_i + (1 - \lambda) x_{i'}, \qquad \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    with :math:`\ell` the cross-entropy. In every step the domains form a ring in random order; each domain is mixed
    with the next domain, with one :math:`\lambda` for all of its rows. Holds the supervised loss: no
    ``adapt.supervised`` beside this term.

    Args:
        head: the classifier.
        sources: k >= 2 labelled streams.
        name: of the term.
        weight: of the term.
        mix: ``"inputs"``, as in the paper: the encoder sees mixtures, in another pass; or ``"features"``, for inputs
            that cannot be mixed.
        alpha: of the Beta distribution; 0.2 as in DomainBed.

    Batches may differ in size: row i of n has row floor(i m / n) of m as partner. All rows weigh the same. Exact on
    several ranks: order and :math:`\lambda` come from ``step.generator``, and partners lie on the same rank.

    Raises:
        TypeError: a head without classes; with ``mix="inputs"``, inputs other than tensors.
        ValueError: fewer than two sources, streams without labels, an option with a wrong value.

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412;
    Yan et al., Improve Unsupervised Domain Adaptation with Mixup Training, 2020, https://arxiv.org/abs/2001.00677
    """
    sources = check_names(sources)
    classes_of(head, "mixup")
    check_options(name=name, weight=weight, mix=mix, alpha=alpha)
    asked = sources if mix == "features" else ()  # mixed inputs need no features of the streams
    return Term(name, Mixup(expect_head(head), sources, mix, alpha), weight, streams=asked, supervises=sources)


class Mixup(nn.Module):
    def __init__(self, head, sources, mix, alpha):
        super().__init__()
        self.head, self.sources, self.mix, self.alpha = head, sources, mix, alpha

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        labels = torch.cat([step[name].labels for name in self.sources])
        ring, mixing = losses.draw_mixup(len(self.sources), alpha=self.alpha, generator=step.generator)
        partner = dict(zip(ring.tolist(), ring.roll(-1).tolist(), strict=True))
        rows = [len(step[name].index) for name in self.sources]
        starts = [sum(rows[:e]) for e in range(len(rows))]
        order = torch.cat([starts[partner[e]] + torch.arange(n) * rows[partner[e]] // n for e, n in enumerate(rows)])
        order, share = order.to(labels.device), mixing.repeat_interleave(torch.tensor(rows)).to(labels.device)
        logits = step.call(self.head, self.features(step, order, share))
        return losses.mixup_cross_entropy(logits, labels, labels[order], share)

    def features(self, step: Step, order: Tensor, share: Tensor) -> Tensor:
        if self.mix == "features":
            return losses.mixup(step.features(*self.sources), order, share)
        inputs = [step[name].inputs for name in self.sources]
        kinds = {type(x).__name__ if not isinstance(x, Tensor) else "Tensor" for x in inputs} - {"Tensor"}
        if kinds:
            raise TypeError(f'only tensors can be mixed, got {min(kinds)}: take `mix="features"`.')
        if len({structure(x) for x in inputs}) > 1:
            shapes = ", ".join(f"`{n}` {tuple(x.shape[1:])}" for n, x in zip(self.sources, inputs, strict=True))
            raise ValueError(f'only inputs of one shape can be mixed, got {shapes}: take `mix="features"`.')
        return step.call(step.encoder_of(*self.sources), losses.mixup(concatenate(inputs), order, share))
