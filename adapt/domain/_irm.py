"""No target: features for which the same classifier is the best in every domain."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.sources import check_labels, check_names
from adapt.engine import Step, Term, gather, switch
from adapt.engine.schedule import Schedule
from adapt.protocols import Head, Source, expect_head


def irm(
    head: Head,
    *,
    sources: Sequence[str],
    name: str = "irm",
    weight: float | Schedule = switch(1.0, 100.0, at=0.1),
    unbiased: bool = False,
) -> Term:
    r"""Penalise a head that another multiple of the head would beat, in each domain: the penalty of IRMv1.

    .. math::
        \frac1k \sum_i \Bigl( \frac{\partial}{\partial w} R_i(w \cdot h \circ F) \Big|_{w = 1} \Bigr)^2

    with :math:`R_i` the head's loss on source i and w a scalar. A penalty beside the supervised loss: needs a
    supervised term for each source. (The paper adds the sum of losses and the sum of penalties; DomainBed, the origin
    of the weights, adds means.)

    Args:
        head: classifier, regressor or any head with a `loss` that is a mean over rows and can be differentiated twice.
        sources: k >= 2 labelled streams.
        name: of the term.
        weight: of the term; 1 for the first tenth of the run and then 100, the default of DomainBed (where a fresh
            optimizer begins at the switch; the optimizer here continues).
        unbiased: the product of the derivatives on the rows of even and of odd number, in place of the square. The
            expected product is the square of the expected derivative, and the product may be negative. The form of
            DomainBed; False is the form in the paper.

    Batches may differ in size. Exact on several ranks: outputs and labels of all rows are gathered. Twice
    differentiable.

    Raises:
        TypeError: a head without a `loss`.
        ValueError: fewer than two sources, streams without labels, an option with a wrong value; `unbiased` with fewer
            than two rows in a batch.

    Arjovsky et al., Invariant Risk Minimization, 2019, https://arxiv.org/abs/1907.02893
    """
    sources = check_names(sources)
    check_options(name=name, weight=weight, unbiased=unbiased)
    return Term(name, Irm(expect_head(head), sources, unbiased), weight, streams=sources)


class Irm(nn.Module):
    def __init__(self, head, sources, unbiased):
        super().__init__()
        self.head, self.sources, self.unbiased = head, sources, unbiased

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, self.sources)
        for name in self.sources:
            if self.unbiased and streams[name].batch_size < 2:
                raise ValueError(
                    f"`unbiased` needs at least 2 rows in a batch of `{name}`, got 1: take larger batches."
                )

    def forward(self, step: Step) -> Tensor:
        rows = [(gather(step.output(self.head, s)), gather(step[s].labels)) for s in self.sources]
        if self.unbiased:
            penalties = [self.slope(z[::2], y[::2]) * self.slope(z[1::2], y[1::2]) for z, y in rows]
        else:
            penalties = [self.slope(z, y).square() for z, y in rows]
        return torch.stack(penalties).mean()

    def slope(self, output: Tensor, labels: Tensor) -> Tensor:
        """Return the derivative of the head's loss with respect to a factor on the output, at 1."""
        w = output.new_ones((), requires_grad=True)
        return torch.autograd.grad(self.head.loss(w * output, labels), w, create_graph=True)[0]
