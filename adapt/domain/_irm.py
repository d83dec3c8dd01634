"""No target: features on which one classifier is the best in every domain."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.domain.sources import check_labels, check_names
from adapt.engine import Step, Term, gather, switch
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def irm(
    head: nn.Module,
    sources: Sequence[str],
    *,
    unbiased: bool = False,
    weight: float | Schedule = switch(1.0, 100.0, at=0.1),
) -> Term:
    r"""How far the head is from being the best of all its multiples, in each domain: the penalty of IRMv1.

    .. math::
        \frac1k \sum_i \Bigl( \frac{\partial}{\partial w} R_i(w \cdot h \circ F) \Big|_{w = 1} \Bigr)^2

    with :math:`R_i` the head's loss on source i and w a scalar. To be added to a supervised term for each source (the paper
    adds the sum of losses and the sum of penalties; DomainBed, whose weights these are, the means).

    Args:
        head: classifier, regressor or any head with a `loss` that is a mean over rows and can be differentiated twice.
        sources: k >= 2 labelled streams.
        unbiased: the product of the derivatives on the rows of even and of odd number, instead of the square: its
            expectation is the square of the expected derivative, and it may be negative. DomainBed's form; False is the paper's.
        weight: of the term; 1 for the first tenth of the run and then 100, DomainBed's default (which also begins
            with a fresh optimizer at the switch; here it goes on).

    Batches may differ in size. Exact on several ranks: outputs and labels of all rows are gathered. Twice differentiable.

    Raises:
        ValueError: fewer than two sources, streams without labels; `unbiased` with fewer than two rows in a batch.

    Arjovsky et al., Invariant Risk Minimization, 2019, https://arxiv.org/abs/1907.02893
    """
    sources = check_names(sources)
    return Term("irm", Irm(head, sources, unbiased), weight, streams=sources)


class Irm(nn.Module):
    def __init__(self, head: nn.Module, sources: Sequence[str], unbiased: bool):
        super().__init__()
        self.head, self.sources, self.unbiased = head, sources, unbiased

    def check(self, streams: Mapping[str, Stream]) -> None:
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
        """The derivative of the head's loss by a factor on its output, at 1."""
        w = output.new_ones((), requires_grad=True)
        risk = self.head.loss(w * output, labels)  # type: ignore[operator]
        return torch.autograd.grad(risk, w, create_graph=True)[0]
