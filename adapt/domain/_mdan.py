"""Several sources: one discriminator for each source, and the largest weight for the worst source."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import losses
from adapt.domain.options import check_options, feature_size
from adapt.domain.sources import check_labels, check_names, risks
from adapt.engine import Step, Term, gather, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.protocols import Head, Source, expect_head


def mdan(
    head: Head,
    *,
    sources: Sequence[str],
    target: str = "target",
    name: str = "mdan",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = ramp(1.0),
    gamma: float | None = 10.0,
    hidden: int = 256,
) -> Term:
    r"""Minimise the bound of the worst source, from the error of the source and from its distance to the target: MDAN.

    .. math::
        \min_{F, h}\ \frac1\gamma \log \sum_i \exp\, \gamma b_i \quad \text{or} \quad \min_{F, h}\ \max_i b_i, \qquad
        b_i = \varepsilon_i(h \circ F) - \min_{D_i} \ell_i(D_i \circ F)

    with :math:`\varepsilon_i` the head's loss on source i and :math:`\ell_i` the loss of a discriminator of source i
    and target, :func:`losses.domain_adversarial`. In one backward pass: the discriminators minimise :math:`\ell_i`, and
    the encoder receives the gradient reversed and scaled by `strength`. The softmax of
    :math:`\gamma b` weighs the sources, or the worst source alone counts.

    Holds the supervised loss: no ``adapt.supervised`` beside this term.

    Args:
        head: classifier, regressor or any head with a `loss`, with the feature size in ``head.dim``.
        sources: k >= 2 labelled streams.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term.
        strength: of the reversed gradient; Ganin's rise from 0 to 1.
        gamma: sharpness of the smooth maximum; 10 as in the authors' code. None is the hard maximum.
        hidden: units of the discriminators' two hidden layers.

    Batches may differ in size. Exact on several ranks: each error and each domain loss is a mean over the rows of all
    ranks before the maximum is taken.

    The equation is from the paper. In the authors' code the smooth form weighs by :math:`\varepsilon_i + \mu \ell_i`,
    so that a source far from the target counts less, not more. The hard form there takes the largest error and the
    smallest domain loss separately, from any two sources.

    Raises:
        TypeError: a head without a `loss` or without `dim`.
        ValueError: fewer than two sources, streams without labels, an option with a wrong value.

    Zhao et al., Adversarial Multiple Source Domain Adaptation, 2018, https://arxiv.org/abs/1705.09684
    """
    sources = check_names(sources)
    check_options(target=target, name=name, weight=weight, strength=strength, gamma=gamma, hidden=hidden)
    dim = feature_size(head)
    discriminators = [Discriminator(dim, hidden=hidden) for _ in sources]
    loss = Mdan(expect_head(head), discriminators, sources, target, strength, gamma)
    return Term(name, loss, weight, streams=[*sources, target], supervises=sources)


class Mdan(nn.Module):
    def __init__(self, head, discriminators, sources, target, strength, gamma):
        super().__init__()
        self.head, self.discriminators = head, nn.ModuleList(discriminators)
        self.sources, self.target, self.strength, self.gamma = sources, target, strength, gamma

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        names = (*self.sources, self.target)
        features = losses.reverse(step.features(*names), at(self.strength, step.progress))
        *S, T = features.split([len(step[name].index) for name in names])
        told = [self.tell(step, D, s, T) for D, s in zip(self.discriminators, S, strict=True)]
        domain = gather(torch.stack(told)[None]).mean(0)
        bounds = risks(step, self.head, self.sources) - losses.reverse(domain)  # reverse: D minimises, value kept
        if self.gamma is None:
            return bounds.max()
        return (self.gamma * bounds).logsumexp(0) / self.gamma

    def tell(self, step: Step, discriminator: nn.Module, source: Tensor, target: Tensor) -> Tensor:
        s, t = step.call(discriminator, torch.cat([source, target])).tensor_split([len(source)])
        return losses.domain_adversarial(s, t)
