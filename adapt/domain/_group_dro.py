"""No target: the largest weight for the worst domain."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.sources import check_labels, check_names, risks
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import Head, Source, expect_head


def group_dro(
    head: Head,
    *,
    sources: Sequence[str],
    name: str = "group_dro",
    weight: float | Schedule = 1.0,
    step_size: float = 0.01,
) -> Term:
    r"""Minimise the worst risk over domains, or over any groups with a stream each: GroupDRO.

    .. math::
        \min_\theta \max_{q \in \Delta}\; \sum_g q_g R_g(\theta), \qquad
        q_g \leftarrow \frac{q_g\, e^{\eta R_g}}{\sum_j q_j\, e^{\eta R_j}}

    with :math:`R_g` the head's loss on group g. Each step updates the weights before their use. Holds the supervised
    loss: no ``adapt.supervised`` beside this term.

    Args:
        head: classifier, regressor or any head with a `loss`.
        sources: k >= 2 labelled streams.
        name: of the term.
        weight: of the term.
        step_size: :math:`\eta`; 0.01 as in the paper and DomainBed.

    Buffer, in the state_dict: ``q`` ``(k,)``, equal at first. The same on every rank: the risks are means over the rows
    of all ranks.

    Raises:
        TypeError: a head without a `loss`.
        ValueError: fewer than two sources, streams without labels, an option with a wrong value.

    Without early stopping or strong weight decay a large network reaches zero risk on all groups, and the weights have
    no effect: the main point of the paper. The paper's adjustment for small groups, C / sqrt(n_g) added to the risks,
    is left out.

    Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, 2020, algorithm 1, https://arxiv.org/abs/1911.08731
    """
    sources = check_names(sources)
    check_options(name=name, weight=weight, step_size=step_size)
    loss = GroupDro(expect_head(head), sources, step_size, name)
    return Term(name, loss, weight, streams=sources, supervises=sources)


class GroupDro(nn.Module):
    q: Tensor

    def __init__(self, head, sources, step_size, name):
        super().__init__()
        self.head, self.sources, self.step_size, self.name = head, sources, step_size, name
        self.register_buffer("q", torch.full((len(sources),), 1 / len(sources)))

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        R = risks(step, self.head, self.sources)
        q = (self.q.log() + self.step_size * R.detach()).softmax(0)  # any size of risk
        self.q.copy_(q)
        if step.logging:
            for stream, share in zip(self.sources, q, strict=True):
                step.report(f"weight/{self.name}_{stream}", share)
        return (q * R).sum()
