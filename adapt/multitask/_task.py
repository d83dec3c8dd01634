"""One of several tasks."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt.engine import Outcome, Step, Term, gather, world_size
from adapt.engine._supervised import LabelCheck, count_of
from adapt.engine.schedule import Schedule
from adapt.heads.labels import MISSING
from adapt.protocols import HasClasses, LearnsFromLabels, MasksMissing, Source, expect_head, offers, reads_as
from adapt.streams import Batch
from losses.options import FROM_0, POSITIVE, WHOLE, check, is_whole


class HasMissing(Protocol):
    """A head with several labels per row, whose loss leaves out the labels equal to `missing`."""

    missing: int


class HasNames(Protocol):
    """A head that knows the names of its labels."""

    names: list[str]


class HasDeviation(Protocol):
    """A head whose loss is in deviations of the labels."""

    deviation: Tensor


class HasNaturalScale(Protocol):
    """A head that knows the loss of a prediction without a look at the input."""

    natural_scale: float


class HasOutputs(Protocol):
    """A head that knows how many numbers it predicts per row, as a regressor does."""

    outputs: int


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
    r"""Return a term with the head's loss on the labelled rows of a stream, divided by a natural scale.

    .. math::
        L_t = \frac{1}{s_t \, |R_t|} \sum_{i \in R_t} \ell(h_t(z_i), y_{it}), \qquad
        R_t = \{ i : y_{it} \text{ is known} \}

    Args:
        name: of the term.
        head: a module with ``loss(output, labels)``, a mean over rows, ``measure(output, labels)``,
            ``score(measures)`` and ``check(labels)``.
        on: the stream. Several tasks may share a stream and its rows, or each task has a stream.
        label: the label of the task, where a row has several: the column of a label matrix ``(n, tasks)``, or the key
            of a dict of labels. None: each row has one label.
        missing: the class index of a row without a label. A missing number is NaN. A head with an attribute
            `missing` (``heads.TokenClassifier(missing=...)``) decides instead. With the heads of
            `adapt.heads` every label counts that is there, whatever other labels of the row are missing. With other
            heads a row counts where all numbers of the row are known.
        scale: s. ``"natural"`` is the loss of a prediction without a look at the input, so that every task starts near
            1, whatever its units: log(classes) for a classifier and log 2 for a head of yes-or-no labels, the losses of
            equal probabilities; for a regressor the variance of the labels, the loss of the mean, with all labels in
            memory. Or a number: 1 leaves the loss as computed. A head of your own with integer labels needs a number,
            or the attribute `classes` or `names`.
        weight: of the term: a preference, at the encoder and at the head. The trainer's `balance` does not see it.

    A batch without a labelled row of the task is neither an error nor a loss of zero: the task contributes nothing, a
    balance does not count the task, and TensorBoard shows no value.

    On several ranks: the mean over the labelled rows, or tokens, of all ranks, exact. Choosing the rows is a host
    synchronisation on a GPU for a head without ``present(labels)``, unless all labels lie in memory and none is
    missing.

    Raises:
        TypeError: a head without `loss`, `score` or `check`.
        ValueError: a stream without labels; labels that the head cannot take; no label at all; a scale that is not
            positive; a `missing` other than the `missing` of the head.
    """
    loss = Task(name, head, on, label, missing, scale)
    return Term(name, loss, weight, streams=[on], task=True, supervises=[on])


class Task(nn.Module):
    """The loss of :func:`task`."""

    def __init__(self, name: str, head: nn.Module, on: str, label: int | str | None, missing: int, scale: float | str):
        super().__init__()
        check_scale(scale, name)
        check(("the column, the key, or None where a row has one label", _is_label), label=label)
        check(WHOLE, missing=missing)
        self.head: Any = expect_head(head)  # Any: a module and a `Head` at once, which no Python type can say
        self.head_masks = offers(head, MasksMissing)  # the head's loss leaves missing labels out
        self.missing: int = head.missing if offers(head, HasMissing) else missing
        if missing not in (-1, self.missing):
            raise ValueError(
                f"`missing` of task `{name}` is {missing}, and {self.missing} for its head: "
                "give `missing` to the head alone."
            )
        self.name, self.on, self.label = name, on, label
        self.scale: Any = scale  # a number once the labels are known
        self.complete = False  # all labels lie in memory and none is missing
        self._labels = LabelCheck(on, self.head.check)

    def check(self, streams: Mapping[str, Source]) -> None:
        labels, known = self._labels.in_memory(streams, f"task `{self.name}`"), None
        if labels is not None:
            y = self.labels_of_task(labels)
            labelled = self.is_labelled(y)
            if not labelled.any():
                raise ValueError(
                    f"task `{self.name}` has no label in stream `{self.on}`: expected at least one labelled row."
                )
            known = self.as_labels(y[labelled])
            self.complete = bool(labelled.all())
        self._labels.check_all(known)
        if offers(self.head, HasClasses) and offers(self.head, LearnsFromLabels):
            self.head.learn_from(known)  # of a regressor the term itself knows the scale
        if self.scale == "natural":
            if known is not None and offers(self.head, HasDeviation):
                known = known / self.head.deviation.cpu()  # the loss of the head is in deviations
            self.scale = natural_scale(self.head, known, self.name)

    def labels_of_task(self, labels: Any) -> Tensor:
        """Return the labels of this task: a column, the value of a key, or the labels as given."""
        if isinstance(labels, Mapping) == isinstance(self.label, str) and self.label is not None:
            try:
                return labels[self.label] if isinstance(self.label, str) else labels[:, self.label]
            except (KeyError, IndexError):
                pass
        elif self.label is None and isinstance(labels, Tensor):
            return labels
        found = f"a dict of {list(labels)}" if isinstance(labels, Mapping) else f"shape {tuple(labels.shape)}"
        raise ValueError(
            f"`label` of task `{self.name}` is {self.label!r} and the labels of stream `{self.on}` are {found}: "
            "expected the column of a label matrix, the key of a dict, or None where a row has one label."
        )

    def as_labels(self, y: Tensor) -> Tensor:
        """Return labels as the head takes them: classes as integers, and the head's own mark of a missing class.

        A matrix of floating point numbers may hold classes beside numbers.
        """
        if not offers(self.head, HasClasses) or offers(self.head, HasMissing):
            return y
        if y.is_floating_point():
            y = y.nan_to_num(nan=self.missing).long()
        return y if self.missing == MISSING else y.long().masked_fill(y == self.missing, MISSING)

    def is_labelled(self, y: Tensor) -> Tensor:
        """Return ``(n,)`` booleans: whether a row counts."""
        if not self.head_masks:
            return labelled_rows(y, self.missing)
        known = self.head.present(self.as_labels(y))
        return known.flatten(1).any(1) if y.ndim > 1 else known

    def count(self, batches: Mapping[str, Batch]) -> float:
        """Return the number of labels of this task that are there."""
        y = self.labels_of_task(batches[self.on].labels)
        return count_of(self.head, self.as_labels(y), 0) if self.head_masks else float(self.is_labelled(y).sum())

    def forward(self, step: Step) -> Tensor | Outcome:
        y, output = self.labels_of_task(step[self.on].labels), step.output(self.head, self.on)
        if self.complete:
            return self.head.loss(output, self.as_labels(y)) / self.scale
        loss, absent = self.loss_of_labelled_rows(step, output, y)
        return Outcome(loss / self.scale, absent)

    def loss_of_labelled_rows(self, step: Step, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss over the labelled rows, and whether no rank has a labelled row."""
        labelled = self.is_labelled(y)
        count = labelled.sum()
        counts = gather(count[None])
        absent = counts.sum() == 0
        if self.head_masks:
            y = self.as_labels(y)
            self._labels.check_batch(y, step)
            return self.head.loss(output, y), absent
        rows = labelled.nonzero().squeeze(1)  # waits for a GPU
        if len(rows) == 0:
            return 0.0 * output.sum(), absent
        y = self.as_labels(y[rows])
        self._labels.check_batch(y, step)
        # the share of this rank: the mean over the ranks is then the mean over all rows
        return self.head.loss(output[rows], y) * (count * world_size() / counts.sum()), absent


def labelled_rows(y: Tensor, missing: int) -> Tensor:
    """Return ``(n,)`` booleans: whether a row has its label, with all numbers of a label."""
    known = ~y.isnan() if y.is_floating_point() else y != missing
    return known.flatten(1).all(1) if y.ndim > 1 else known


def _is_label(label: Any) -> bool:
    return label is None or isinstance(label, str) or is_whole(label, 0)


def check_scale(scale: float | str, name: str) -> None:
    if scale != "natural" and not POSITIVE[1](scale):
        raise ValueError(f"`scale` of task `{name}` must be 'natural' or a positive number, got {scale!r}.")


def natural_scale(head: nn.Module, labels: Tensor | None, name: str = "") -> float:
    """Return the loss of equal probabilities, log C or log 2, or of predicting the mean: the variance of the labels."""
    if offers(head, HasNaturalScale):
        return head.natural_scale
    if offers(head, HasClasses):
        return math.log(head.classes)
    if offers(head, HasNames):
        return math.log(2)
    if labels is None:
        raise ValueError(
            f"the natural scale of task `{name}` is the variance of its labels, which do not lie in memory: "
            "give `scale`, a number."
        )
    if not labels.is_floating_point() and not offers(head, HasOutputs):
        raise ValueError(
            f"the natural scale of task `{name}` is not known for a {type(head).__name__} with integer labels, because "
            "the head has no `classes`, `names` or `outputs`: give `scale`, a number."
        )
    variance = labels.double().var(0, correction=0).mean().item()
    if not variance > 0:
        raise ValueError(f"the labels of task `{name}` do not vary, so its natural scale is 0: give `scale`, a number.")
    return variance


def rows_with_label(dataset: TensorDataset, label: int, *, missing: int = -1, classes: bool = False) -> TensorDataset:
    """Return the rows of a dataset that have one label of a label matrix, with this label alone: to evaluate one task.

    Args:
        dataset: inputs and labels ``(n, tasks)``.
        label: the column.
        missing: as in :func:`task`.
        classes: whether the labels are classes in a matrix of floating point numbers.

    Labels of tokens need no choice of rows: the score of a token head leaves missing labels out. Evaluate the head on
    ``TensorDataset(inputs, labels[:, label])``.

    Raises:
        ValueError: integer labels of a row, some known and some missing.

    >>> data = TensorDataset(torch.zeros(3, 1), torch.tensor([[0.0, torch.nan], [1.0, 2.0], [torch.nan, 3.0]]))
    >>> rows_with_label(data, 1).tensors[1]
    tensor([2., 3.])
    """
    check(FROM_0, label=label)
    check(WHOLE, missing=missing)
    if not reads_as(dataset, TensorDataset):
        raise TypeError(
            f"`dataset` must be a TensorDataset without items of its own, got a {type(dataset).__name__}: give "
            "`TensorDataset(inputs, labels)`."
        )
    inputs, labels = dataset.tensors
    y = labels[:, label]
    labelled = labelled_rows(y, missing)
    if not y.is_floating_point() and y.ndim > 1 and ((y != missing).flatten(1).any(1) & ~labelled).any():
        raise ValueError(
            f"label {label} is known for some tokens of a row and {missing} for others: the score of a token head "
            "leaves missing labels out, so evaluate the head on `TensorDataset(inputs, labels[:, label])`."
        )
    return TensorDataset(inputs[labelled], y[labelled].long() if classes else y[labelled])
