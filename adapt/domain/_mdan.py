"""Several sources: one discriminator each, and the worst source decides."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import losses
from adapt.domain.sources import check_labels, check_names, risks
from adapt.engine import Step, Term, gather, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.streams import Stream


def mdan(
    head: nn.Module,
    dim: int,
    sources: Sequence[str],
    target: str = "target",
    *,
    gamma: float | None = 10.0,
    strength: float | Schedule = ramp(1.0),
    weight: float | Schedule = 1.0,
    hidden: int = 256,
) -> Term:
    r"""The bound of the worst source, its error and how well it is told from the target: MDAN.

    .. math::
        \min_{F, h}\ \frac1\gamma \log \sum_i \exp\, \gamma b_i \quad \text{or} \quad \min_{F, h}\ \max_i b_i, \qquad
        b_i = \varepsilon_i(h \circ F) - \min_{D_i} \ell_i(D_i \circ F)

    with :math:`\varepsilon_i` the head's loss on source i and :math:`\ell_i` the loss of a discriminator of source i and
    target, :func:`losses.domain_adversarial`. In one backward: the discriminators minimise :math:`\ell_i`, the encoder
    receives its gradient reversed and scaled by `strength`; all of them weighted by the softmax of
    :math:`\gamma b`, or for the worst source alone. It holds the source losses: add no supervised term.

    Args:
        head: classifier, regressor or any head with a `loss`.
        dim: feature size.
        sources: k >= 2 labelled streams.
        target: stream; no labels are used.
        gamma: sharpness of the smooth maximum; 10 as in the authors' code. None is the hard maximum.
        strength: of the reversed gradient; Ganin's rise from 0 to 1.
        weight: of the term.
        hidden: units of the discriminators' two hidden layers.

    Batches may differ in size. Exact on several ranks: each error and each domain's loss is a mean over the rows of all of
    them before the maximum is taken.

    The equation is the paper's. In the authors' code the smooth form weighs by :math:`\varepsilon_i + \mu \ell_i`, so that a
    source which is told from the target easily counts less, not more, and the hard form takes the largest error and
    the smallest domain loss apart, whichever source they are of.

    Raises:
        ValueError: fewer than two sources, `gamma` that is not positive, streams without labels.

    Zhao et al., Adversarial Multiple Source Domain Adaptation, 2018, https://arxiv.org/abs/1705.09684
    """
    sources = check_names(sources)
    if gamma is not None and not gamma > 0:
        raise ValueError(f"`gamma` must be positive, or None for the hard maximum, got {gamma}.")
    discriminators = [Discriminator(dim, hidden=hidden) for _ in sources]
    return Term(
        "mdan", Mdan(head, discriminators, sources, target, gamma, strength), weight, streams=[*sources, target]
    )


class Mdan(nn.Module):
    def __init__(self, head, discriminators, sources, target, gamma, strength):
        super().__init__()
        self.head, self.discriminators = head, nn.ModuleList(discriminators)
        self.sources, self.target, self.gamma, self.strength = sources, target, gamma, strength

    def check(self, streams: Mapping[str, Stream]) -> None:
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
