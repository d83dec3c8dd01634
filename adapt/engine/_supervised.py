"""Learning from labels."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from adapt.engine.schedule import Schedule
from adapt.engine.step import Step
from adapt.engine.term import Term
from adapt.heads.labels import present
from adapt.protocols import Counts, HasClasses, LearnsFromLabels, MasksMissing, Source, expect_head, offers
from adapt.streams import Batch
from adapt.streams.tree import tensors


def supervised(head: nn.Module, on: str, *, weight: float | Schedule = 1.0, name: str | None = None) -> Term:
    """Return a term with the head's own loss on a labelled stream.

    The loss is cross-entropy for a classifier and squared error for a regressor. A class of -1 and a number of NaN are
    missing: the loss is the mean over the labels of all ranks that are there.

    Args:
        head: a module with ``loss(output, labels)``, ``measure(output, labels)``, ``score(measures)`` and
            ``check(labels)``.
        on: the stream.
        weight: of the term.
        name: of the term; default ``"supervised_<stream>"``.

    Raises:
        TypeError: a head without `loss`, `score` or `check`.
        ValueError: a stream without labels, or labels that the head cannot take. Labels in memory are checked before
            the first step, other labels with each batch.
    """
    return Term(name or f"supervised_{on}", Supervised(head, on), weight, streams=[on], supervises=[on])


class Supervised(nn.Module):
    """The loss of :func:`supervised`."""

    def __init__(self, head: nn.Module, on: str):
        super().__init__()
        self.head: Any = expect_head(head)  # Any: a module and a `Head` at once, which no Python type can say
        self.on = on
        self._labels = LabelCheck(on, self.head.check)

    def check(self, streams: Mapping[str, Source]) -> None:
        labels = self._labels.in_memory(streams, "a supervised term")
        if isinstance(labels, Tensor) and offers(self.head, MasksMissing):
            expect_some(labels, self.head, self.on)
        self._labels.check_all(labels)
        if offers(self.head, LearnsFromLabels):
            self.head.learn_from(labels)

    def count(self, batches: Mapping[str, Batch]) -> float:
        """Return the number of things that the head's loss is a mean over."""
        return count_of(self.head, batches[self.on].labels, len(batches[self.on].index))

    def forward(self, step: Step) -> Tensor:
        labels, output = step[self.on].labels, step.output(self.head, self.on)
        self._labels.check_batch(labels, step)
        if step.logging and _are_classes(output, labels):
            hits, there = output.argmax(1) == labels, present(labels)
            step.report(f"train_accuracy/{self.on}", (hits & there).sum() / there.sum())
        return self.head.loss(output, labels)


def count_of(head: object, labels: Any, rows: int) -> float:
    """Return what the mean of a head divides by: the head's own count, the labels that are there, or rows."""
    if offers(head, Counts):
        return float(head.count(labels))
    return float(head.present(labels).sum()) if isinstance(labels, Tensor) and offers(head, MasksMissing) else rows


def expect_some(labels: Tensor, head: MasksMissing, on: str) -> None:
    """Raise a ValueError where no label is there, or where -1 seems to be a class: the labels are -1 and 1."""
    if not head.present(labels).any():
        raise ValueError(
            f"stream `{on}` has no label: each of {len(labels)} rows is -1 or NaN, which says that the label is "
            "missing. Give labelled rows, or make the stream with `labels=False`."
        )
    values = labels.unique()
    if offers(head, HasClasses) and head.classes == 2 and values.tolist() == [-1, 1]:
        raise ValueError(
            f"the labels of stream `{on}` are -1 and 1, and -1 says that a label is missing: number the two classes 0 "
            "and 1, `(labels + 1) // 2`."
        )


def _are_classes(output: Any, labels: Any) -> bool:
    single = isinstance(output, Tensor) and isinstance(labels, Tensor)
    return single and output.ndim == 2 and labels.ndim == 1 and not labels.is_floating_point()


class LabelCheck:
    """Checks the labels of one stream: once before the first step where all labels lie in memory, else with each batch.

    All terms that learn from labels share this check.

    Args:
        on: the stream.
        check: raises a ValueError for wrong labels, as ``head.check`` does.
    """

    def __init__(self, on: str, check: Callable[[Any], None]):
        self.on, self.check, self.done = on, check, False

    def in_memory(self, streams: Mapping[str, Source], learner: str) -> Any | None:
        """Return all labels of the stream where the labels lie in memory, else None.

        Raises:
            ValueError: a stream without labels; the message names the `learner`.
        """
        stream = streams[self.on]
        if not stream.labels:
            raise ValueError(
                f"stream `{self.on}` was made with `labels=False`, and {learner} learns from its labels: "
                "name a labelled stream, or make the stream with its labels."
            )
        return stream.all_labels()

    def check_all(self, labels: Any | None) -> None:
        """Check all labels before the first step; None leaves the check to the batches."""
        if labels is not None:
            self.check(labels)
            self.done = True

    def check_batch(self, labels: Any, step: Step) -> None:
        """Check the labels of a batch, unless all labels were checked.

        On a GPU the check waits for the device and runs on logging steps alone.
        """
        if not self.done and (step.logging or all(t.device.type == "cpu" for t in tensors(labels))):
            self.check(labels)
