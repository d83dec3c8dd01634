"""Pseudo-labels from neighbours in a bank of target features."""

from collections.abc import Mapping

from torch import Tensor, nn

import losses
from adapt.domain.options import check_options, feature_size
from adapt.engine import Step, Term
from adapt.engine.description import Described
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of
from adapt.streams import Stream


def atdoc(
    head: nn.Module,
    *,
    rows: int,
    target: str = "target",
    name: str = "atdoc",
    weight: float | Schedule = Described(lambda progress: 0.2 * progress, "0.2 * progress"),
    neighbours: int = 5,
    temperature: float = 0.5,
) -> Term:
    """Learn pseudo-labels from neighbours in a bank of the whole target set: ATDOC with neighbourhood aggregation.

    Args:
        head: the classifier, with the feature size in ``head.dim``.
        rows: rows of the target set, ``len(dataset)``.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; a straight rise to 0.2, as in the authors' code.
        neighbours: number of neighbours whose predictions are averaged; 5.
        temperature: sharpens the predictions before the bank stores the predictions; 0.5.

    The bank is a buffer: a checkpoint holds the bank, and a resumed run continues with the bank. In each step, the bank
    is read first and the rows of the batch are written last. (The authors write after the update, from another pass of
    the encoder in evaluation mode; no further pass is needed here.)

    Raises:
        TypeError: a head without classes or without `dim`.
        ValueError: an option with a wrong value; a stream with another number of rows.

    Liang et al., 2021, https://arxiv.org/abs/2007.04171
    """
    classes = classes_of(head, "atdoc")
    check_options(target=target, name=name, weight=weight, rows=rows, neighbours=neighbours, temperature=temperature)
    bank = losses.NeighbourhoodBank(rows, feature_size(head), classes, temperature=temperature)
    return Term(name, Atdoc(head, bank, target, neighbours, temperature), weight, streams=[target])


class Atdoc(nn.Module):
    def __init__(self, head, bank, target, neighbours, temperature):
        super().__init__()
        self.head, self.bank, self.target = head, bank, target
        self.neighbours, self.temperature = neighbours, temperature

    def check(self, streams: Mapping[str, Stream]) -> None:
        found, rows = streams[self.target].rows, len(self.bank.features)
        if found != rows:
            raise ValueError(f"`rows` of atdoc must be the {found} rows of stream `{self.target}`, got {rows}.")

    def forward(self, step: Step) -> Tensor:
        view, logits = step[self.target], step.output(self.head, self.target)
        known = self.bank.features, self.bank.probabilities
        loss = losses.neighbourhood_aggregation(view.features, logits, *known, view.index, neighbours=self.neighbours)
        self.bank.update(view.index, view.features.detach(), logits.detach())
        return loss
