"""One of several tasks."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt.engine import Step, Term, gather, world_size
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def task(
    name: str,
    head: nn.Module,
    on: str,
    *,
    label: int | str | None = None,
    missing: int = -1,
    scale: float | str = "natural",
    weight: float | Schedule = 1.0,
) -> Term:
    r"""A head's loss on the rows of a stream that have its label, in units of the loss of a prediction that does not look at the input.

    .. math:: L_t = \frac{1}{s_t \, |R_t|} \sum_{i \in R_t} \ell(h_t(z_i), y_{it}), \qquad R_t = \{ i : y_{it} \text{ is there} \}

    Args:
        name: of the term.
        head: a module with ``loss(output, labels)``, a mean over rows, and ``check(labels)``.
        on: the stream. Several tasks on one stream share its rows; or each has a stream.
        label: which of several labels a row: the column of a label matrix ``(n, tasks)``, or the key of a dict of labels.
            None: the label is the task's alone.
        missing: the class index that says that a row has no such label. A number is missing where it is NaN. A row with
            several numbers counts where all are there. A head with several labels a row that knows itself what is missing
            (``heads.TokenClassifier(missing=...)``) is asked instead: a row counts where any of its labels is there.
        scale: s. ``"natural"`` is the loss of a prediction that does not look at the input, so that tasks start near 1 whatever
            their units: log(classes) for a classifier and log 2 for a head of yes-or-no labels, those of equal probabilities; the
            variance of the labels for a regressor, that of their mean, for which they must lie in memory. A number; 1 leaves the loss as it is.
        weight: of the term: a preference, at the encoder and the head, which a trainer's `balance` does not see.

    In a batch without any such row the task is neither an error nor a loss of zero: it contributes nothing, a balance does
    not count it, and TensorBoard shows no value.

    On several ranks: the mean over the rows, or tokens, of all of them that have the label, exact. Choosing the rows is a host
    synchronisation on a GPU, unless all labels lie in memory and none is missing.

    Raises:
        ValueError: a stream without labels; labels that the head cannot take; no label at all; a scale that is not positive;
            another `missing` than the head's.
    """
    return Term(name, Task(name, head, on, label, missing, scale), weight, streams=[on], task=True)


class Task(nn.Module):
    def __init__(self, name: str, head: nn.Module, on: str, label: int | str | None, missing: int, scale: float | str):
        super().__init__()
        check_scale(scale, name)
        self.inside = hasattr(head, "missing")  # within a row labels may be missing, and the head's loss knows
        self.missing: int = head.missing if self.inside else missing  # type: ignore[assignment]
        if missing not in (-1, self.missing):
            raise ValueError(
                f"`missing` of task `{name}` is {missing}, and {self.missing} for its head: give it to the head alone."
            )
        self.name, self.head, self.on, self.label, self.scale = name, head, on, label, scale
        self.checked = self.complete = False

    def check(self, streams: Mapping[str, Stream]) -> None:
        if not streams[self.on].labels:
            raise ValueError(
                f"stream `{self.on}` was made with `labels=False` and task `{self.name}` learns from its labels."
            )
        labels = streams[self.on].all_labels()
        if labels is not None:
            y = self.own(labels)
            there = self.rows(y)
            if not there.any():
                raise ValueError(
                    f"task `{self.name}` has no label in stream `{self.on}`: expected at least one row with it."
                )
            y = self.typed(y[there])
            self.head.check(y)  # type: ignore[operator]
            self.checked, self.complete = True, bool(there.all())
        if self.scale == "natural":
            self.scale = natural_scale(self.head, None if labels is None else y, self.name)

    def own(self, labels: Any) -> Tensor:
        """This task's labels of all that a row has."""
        if isinstance(labels, Mapping) == isinstance(self.label, str) and self.label is not None:
            try:
                return labels[self.label] if isinstance(self.label, str) else labels[:, self.label]
            except (KeyError, IndexError):
                pass
        elif self.label is None and isinstance(labels, Tensor):
            return labels
        found = f"a dict of {list(labels)}" if isinstance(labels, Mapping) else f"shape {tuple(labels.shape)}"
        raise ValueError(
            f"`label` of task `{self.name}` is {self.label!r} and the labels of stream `{self.on}` are {found}: expected the "
            "column of a label matrix, the key of a dict, or None where a row has one label."
        )

    def typed(self, y: Tensor) -> Tensor:
        """Classes may stand in a matrix of floating point numbers, beside others."""
        return y.long() if y.is_floating_point() and hasattr(self.head, "classes") and not self.inside else y

    def rows(self, y: Tensor) -> Tensor:
        """``(n,)``: whether a row counts."""
        if not self.inside:
            return labelled(y, self.missing)
        there = y != self.missing
        return there.flatten(1).any(1) if y.ndim > 1 else there

    def forward(self, step: Step) -> Tensor:
        y, output = self.own(step[self.on].labels), step.output(self.head, self.on)
        if self.complete:
            loss = self.head.loss(output, self.typed(y))  # type: ignore[operator]
        else:
            loss, absent = self.of_the_present(step, output, y)
            step.absent[id(self)] = absent
        return loss / self.scale

    def of_the_present(self, step: Step, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of the rows that have a label, and whether there is none on any rank."""
        there = self.rows(y)
        count = there.sum()
        counts = gather(count[None])
        absent = counts.sum() == 0
        if self.inside:
            self.look_at(step, y)
            return self.head.loss(output, y), absent  # type: ignore[operator]
        rows = there.nonzero().squeeze(1)  # waits for a GPU
        if len(rows) == 0:
            return 0.0 * output.sum(), absent
        y = self.typed(y[rows])
        self.look_at(step, y)
        # this rank's share: the mean over the ranks is then the mean over all rows
        return self.head.loss(output[rows], y) * (count * world_size() / counts.sum()), absent  # type: ignore[operator]

    def look_at(self, step: Step, y: Tensor) -> None:
        """Labels that were not all looked at before; on a GPU now and then, since it waits."""
        if not self.checked and (y.device.type == "cpu" or step.logging):
            self.head.check(y)  # type: ignore[operator]


def labelled(y: Tensor, missing: int) -> Tensor:
    """``(n,)``: whether a row has its label, all of its numbers."""
    there = ~y.isnan() if y.is_floating_point() else y != missing
    return there.flatten(1).all(1) if y.ndim > 1 else there


def check_scale(scale: float | str, name: str) -> None:
    if scale != "natural" and not (isinstance(scale, int | float) and scale > 0):
        raise ValueError(f"`scale` of task `{name}` must be 'natural' or a positive number, got {scale!r}.")


def natural_scale(head: nn.Module, labels: Tensor | None, name: str = "") -> float:
    """The loss of equal probabilities, log C or log 2, or of the mean: the variance of the labels."""
    if hasattr(head, "classes"):
        return math.log(head.classes)  # type: ignore[arg-type]
    if hasattr(head, "names"):
        return math.log(2)
    if labels is None:
        raise ValueError(
            f"the natural scale of task `{name}` is the variance of its labels, which do not lie in memory: give `scale`, a number."
        )
    variance = labels.double().var(0, correction=0).mean().item()
    if not variance > 0:
        raise ValueError(f"the labels of task `{name}` do not vary, so its natural scale is 0: give `scale`, a number.")
    return variance


def rows_with_label(dataset: TensorDataset, label: int, *, missing: int = -1, classes: bool = False) -> TensorDataset:
    """The rows of a dataset with a label matrix that have one label, and that label alone: to evaluate one task.

    Args:
        dataset: inputs and labels ``(n, tasks)``.
        label: the column.
        missing: as in :func:`task`.
        classes: the labels are classes that stand in a matrix of floating point numbers.

    Labels of tokens need no such choice, since the score of a token head leaves missing ones out: ``TensorDataset(inputs, labels[:, label])``.

    Raises:
        ValueError: integer labels of which a row has some and misses others.

    >>> data = TensorDataset(torch.zeros(3, 1), torch.tensor([[0.0, torch.nan], [1.0, 2.0], [torch.nan, 3.0]]))
    >>> rows_with_label(data, 1).tensors[1]
    tensor([2., 3.])
    """
    inputs, labels = dataset.tensors
    y = labels[:, label]
    there = labelled(y, missing)
    if not y.is_floating_point() and y.ndim > 1 and ((y != missing).flatten(1).any(1) & ~there).any():
        raise ValueError(
            f"label {label} is there for some tokens of a row and {missing} for others: a token head's score knows this, so "
            "evaluate it on `TensorDataset(inputs, labels[:, label])`."
        )
    return TensorDataset(inputs[there], y[there].long() if classes else y[there])
