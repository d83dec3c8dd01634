"""Learning from labels."""

from collections.abc import Mapping

from torch import Tensor, nn

from adapt.engine.schedule import Schedule
from adapt.engine.step import Step
from adapt.engine.term import Term
from adapt.streams import Stream


def supervised(head: nn.Module, on: str, *, weight: float | Schedule = 1.0, name: str | None = None) -> Term:
    """The head's own loss on a labelled stream: cross-entropy for a classifier, squared error for a regressor.

    Args:
        head: a module with ``loss(output, labels)``, ``score(output, labels)`` and ``check(labels)``.
        on: the stream.
        weight: of the term.
        name: of the term; default ``"supervised_<stream>"``.

    Raises:
        ValueError: a stream without labels, or labels that the head cannot take; before the first step where the
            labels lie in memory, else with the batch that holds them.
    """
    return Term(name or f"supervised_{on}", Supervised(head, on), weight, streams=[on], supervises=[on])


class Supervised(nn.Module):
    def __init__(self, head: nn.Module, on: str):
        super().__init__()
        self.head, self.on = head, on
        self.checked = False  # all labels lay in memory and were looked at before the first step

    def check(self, streams: Mapping[str, Stream]) -> None:
        stream = streams[self.on]
        if not stream.labels:
            raise ValueError(
                f"stream `{self.on}` was made with `labels=False` and a supervised term is to learn from its labels: "
                "name a labelled stream, or give this one its labels."
            )
        labels = stream.all_labels()
        if labels is not None:
            self.head.check(labels)  # type: ignore[operator]
        self.checked = labels is not None

    def forward(self, step: Step) -> Tensor:
        labels, output = step[self.on].labels, step.output(self.head, self.on)
        if not self.checked and (labels.device.type == "cpu" or step.logging):
            self.head.check(labels)  # type: ignore[operator]
        if step.logging and output.ndim == 2 and not labels.is_floating_point():
            step.report(f"train_accuracy/{self.on}", (output.argmax(1) == labels).float().mean())
        return self.head.loss(output, labels)  # type: ignore[operator]
