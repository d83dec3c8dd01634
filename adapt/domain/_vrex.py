"""No target: equal risks in all domains."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from adapt.domain.sources import check_labels, check_names, risks
from adapt.engine import Step, Term, switch
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def vrex(head: nn.Module, sources: Sequence[str], *, weight: float | Schedule = switch(1.0, 10.0, at=0.1)) -> Term:
    r"""Variance of the risks over the domains: V-REx.

    .. math:: \frac1k \sum_i (R_i - \bar R)^2, \qquad \bar R = \frac1k \sum_i R_i

    with :math:`R_i` the head's loss on source i. To be added to a supervised term for each source (the paper adds the sum
    of their losses; DomainBed, whose weights these are, their mean).

    Args:
        head: classifier, regressor or any head with a `loss`.
        sources: k >= 2 labelled streams.
        weight: of the term; 1 for the first tenth of the run and then 10, DomainBed's default (which also begins
            with a fresh optimizer at the switch; here it goes on).

    Batches may differ in size. Exact on several ranks: the risks are means over the rows of all of them.

    Raises:
        ValueError: fewer than two sources, streams without labels.

    Krueger et al., Out-of-Distribution Generalization via Risk Extrapolation (REx), 2021, https://arxiv.org/abs/2003.00688
    """
    sources = check_names(sources)
    return Term("vrex", Vrex(head, sources), weight, streams=sources)


class Vrex(nn.Module):
    def __init__(self, head: nn.Module, sources: Sequence[str]):
        super().__init__()
        self.head, self.sources = head, sources

    def check(self, streams: Mapping[str, Stream]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        R = risks(step, self.head, self.sources)
        return (R - R.mean()).square().mean()
