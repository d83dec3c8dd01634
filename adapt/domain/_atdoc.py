"""The neighbours in a bank of target features say the class."""

from collections.abc import Mapping

from torch import Tensor, nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def atdoc(
    head: nn.Module,
    dim: int,
    size: int,
    target: str = "target",
    *,
    weight: float | Schedule = lambda progress: 0.2 * progress,
    neighbours: int = 5,
    temperature: float = 0.5,
) -> Term:
    """Pseudo-labels from the nearest neighbours in a bank over the whole target set: ATDOC with neighbourhood aggregation.

    Args:
        head: the classifier.
        dim: feature size.
        size: rows of the target set, ``len(dataset)``.
        target: stream; no labels are used.
        weight: of the term; a straight rise to 0.2, as in the authors' code.
        neighbours: whose predictions are averaged; 5.
        temperature: that sharpens what is written in the bank; 0.5.

    The bank is a buffer: it is saved, and a run goes on with it. A row is written when the step has looked at the bank
    (the authors write after the update, from a pass of its own in eval mode; this costs no pass).

    Raises:
        TypeError: a head without classes.
        ValueError: a stream of another size.

    Liang et al., 2021, https://arxiv.org/abs/2007.04171
    """
    bank = losses.NeighbourhoodBank(size, dim, classes_of(head, "atdoc"), temperature=temperature)
    return Term("atdoc", Atdoc(head, bank, target, neighbours), weight, streams=[target])


class Atdoc(nn.Module):
    def __init__(self, head: nn.Module, bank: losses.NeighbourhoodBank, target: str, neighbours: int):
        super().__init__()
        self.head, self.bank, self.target, self.neighbours = head, bank, target, neighbours

    def check(self, streams: Mapping[str, Stream]) -> None:
        rows, size = streams[self.target].rows, len(self.bank.features)
        if rows != size:
            raise ValueError(f"`size` of atdoc's bank must be the {rows} rows of stream `{self.target}`, got {size}.")

    def forward(self, step: Step) -> Tensor:
        view, logits = step[self.target], step.output(self.head, self.target)
        loss = losses.neighbourhood_aggregation(
            view.features, logits, self.bank.features, self.bank.probabilities, view.index, neighbours=self.neighbours
        )
        self.bank.update(view.index, view.features.detach(), logits.detach())
        return loss
