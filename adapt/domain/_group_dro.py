"""No target: the worst domain counts most."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.domain.sources import check_labels, check_names, risks
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def group_dro(
    head: nn.Module, sources: Sequence[str], *, step_size: float = 0.01, weight: float | Schedule = 1.0
) -> Term:
    r"""Distributionally robust optimisation over domains, or over any groups that are given as streams: GroupDRO.

    .. math::
        \min_\theta \max_{q \in \Delta}\; \sum_g q_g R_g(\theta), \qquad
        q_g \leftarrow \frac{q_g\, e^{\eta R_g}}{\sum_j q_j\, e^{\eta R_j}}

    with :math:`R_g` the head's loss on group g. The weights are moved before they are used, in every step. It holds the
    losses of all sources: add no supervised term.

    Args:
        head: classifier, regressor or any head with a `loss`.
        sources: k >= 2 labelled streams.
        step_size: :math:`\eta`; 0.01 as in the paper and DomainBed.
        weight: of the term.

    Buffer, in the state_dict: ``q`` ``(k,)``, equal at first. The same on every rank: the risks are means over the rows of
    all of them.

    Raises:
        ValueError: fewer than two sources, streams without labels, a step that is not positive.

    Without early stopping or strong weight decay a large network reaches zero risk on all groups, and the weights have no
    effect: the paper's main point. Its adjustment for small groups, C / sqrt(n_g) added to the risks, is left out.

    Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, 2020, algorithm 1, https://arxiv.org/abs/1911.08731
    """
    if not step_size > 0:
        raise ValueError(f"`step_size` must be positive, got {step_size}.")
    sources = check_names(sources)
    return Term("group_dro", GroupDro(head, sources, step_size), weight, streams=sources)


class GroupDro(nn.Module):
    q: Tensor

    def __init__(self, head: nn.Module, sources: Sequence[str], step_size: float):
        super().__init__()
        self.head, self.sources, self.step_size = head, sources, step_size
        self.register_buffer("q", torch.full((len(sources),), 1 / len(sources)))

    def check(self, streams: Mapping[str, Stream]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        R = risks(step, self.head, self.sources)
        q = (self.q.log() + self.step_size * R.detach()).softmax(0)  # any size of risk
        self.q.copy_(q)
        if step.logging:
            for name, share in zip(self.sources, q, strict=True):
                step.report(f"weight/group_dro_{name}", share)
        return (q * R).sum()
