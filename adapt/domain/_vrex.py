"""No target: equal risks in all domains."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.sources import check_labels, check_names, risks
from adapt.engine import Step, Term, switch
from adapt.engine.schedule import Schedule
from adapt.protocols import Head, Source, expect_head


def vrex(
    head: Head,
    *,
    sources: Sequence[str],
    name: str = "vrex",
    weight: float | Schedule = switch(1.0, 10.0, at=0.1),
) -> Term:
    r"""Penalise the variance of the risks over the domains: V-REx.

    .. math:: \frac1k \sum_i (R_i - \bar R)^2, \qquad \bar R = \frac1k \sum_i R_i

    with :math:`R_i` the head's loss on source i. A penalty beside the supervised loss: needs a supervised term for each
    source. (The paper adds the sum of the losses; DomainBed, the origin of the weights, adds the mean.)

    Args:
        head: classifier, regressor or any head with a `loss`.
        sources: k >= 2 labelled streams.
        name: of the term.
        weight: of the term; 1 for the first tenth of the run and then 10, the default of DomainBed (where a fresh
            optimizer begins at the switch; the optimizer here continues).

    Batches may differ in size. Exact on several ranks: the risks are means over the rows of all ranks.

    Raises:
        TypeError: a head without a `loss`.
        ValueError: fewer than two sources, streams without labels, an option with a wrong value.

    Krueger et al., Out-of-Distribution Generalization via Risk Extrapolation (REx), 2021, https://arxiv.org/abs/2003.00688
    """
    sources = check_names(sources)
    check_options(name=name, weight=weight)
    return Term(name, Vrex(expect_head(head), sources), weight, streams=sources)


class Vrex(nn.Module):
    def __init__(self, head, sources):
        super().__init__()
        self.head, self.sources = head, sources

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        R = risks(step, self.head, self.sources)
        return (R - R.mean()).square().mean()
