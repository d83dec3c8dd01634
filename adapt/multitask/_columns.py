"""Many regressions by one head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from adapt.engine import Outcome, Step, Term, gather, world_size
from adapt.engine._supervised import LabelCheck
from adapt.engine.schedule import Schedule
from adapt.multitask._task import HasNames, HasOutputs, check_scale, natural_scale
from adapt.protocols import Balance, GramianBalance, Source, StartedBalance, offers


def columns(
    name: str,
    head: nn.Module,
    on: str,
    *,
    balance: Balance | None = None,
    scale: float | str = "natural",
    weight: float | Schedule = 1.0,
) -> Term:
    r"""Return one term for many regressions: each column of a label matrix is a task, and one head predicts all tasks.

    Hundreds of tasks cost as much as one task.

    .. math::
        \frac{1}{|P|} \sum_{t \in P} L_t, \qquad
        L_t = \frac{1}{s \, |R_t|} \sum_{i \in R_t} (h_t(z_i) - y_{it})^2, \qquad
        R_t = \{ i : y_{it} \text{ is not NaN} \}

    with P the tasks with a labelled row in the batch. With 139 schools and each pupil in one school, a row of labels
    has 138 NaN.

    Args:
        name: of the term.
        head: predicts ``(n, tasks)``; ``heads.Regressor(dim, outputs=tasks)``.
        on: a stream with labels ``(n, tasks)``.
        balance: weighs the tasks at the encoder, from the losses; the head keeps the gradient of the plain mean. With a
            balance the head runs twice.
        scale: s, the same for all tasks; ``"natural"`` is the mean variance of the labels within the columns.
        weight: of the term.

    On several ranks: every mean is over the rows of all ranks, exact. With accumulation the means are over the rows of
    each micro-batch.

    Raises:
        ValueError: a stream without labels; a balance that needs the Gramian (use :func:`adapt.multitask.task`); a head
            of classes or of yes-or-no labels; labels that are not a matrix with a column for each output of the head; a
            scale that is not positive.
    """
    if offers(balance, GramianBalance):
        raise ValueError(
            f"`balance` of columns must weigh tasks by the losses alone, and {balance!r} needs the Gramian: "
            "make each column a `task`."
        )
    return Term(name, Columns(name, head, on, balance, scale), weight, streams=[on], supervises=[on])


class Columns(nn.Module):
    """The loss of :func:`columns`."""

    def __init__(self, name: str, head: nn.Module, on: str, balance: Balance | None, scale: float | str):
        super().__init__()
        check_scale(scale, name)
        if offers(head, HasNames):
            raise ValueError(
                f"`columns` is for numbers with a squared error, and the head of term `{name}` is a "
                f"{type(head).__name__}, with a loss of its own: take `multitask.task`, whose loss leaves missing "
                "labels out, or heads.Regressor(encoder, tasks)."
            )
        self.name, self.head, self.on, self.balance = name, head, on, balance
        self.scale: Any = scale  # a number after the check
        self.fixed_head = FixedHead(head)
        self._labels = LabelCheck(on, self.check_matrix)

    def check(self, streams: Mapping[str, Source]) -> None:
        labels = self._labels.in_memory(streams, f"term `{self.name}`")
        self._labels.check_all(labels)
        tasks = self.outputs if labels is None else labels.shape[1]
        if tasks and offers(self.balance, StartedBalance):
            self.balance.start(tasks)  # before the first step: the state of the balance is saved and resumed
        if self.scale == "natural":
            within = None if labels is None else (labels - labels.nanmean(0))
            self.scale = natural_scale(self.head, None if within is None else within[~within.isnan()], self.name)

    @property
    def outputs(self) -> int | None:
        return self.head.outputs if offers(self.head, HasOutputs) else None

    def check_matrix(self, labels: Tensor) -> None:
        if labels.ndim != 2 or self.outputs not in (None, labels.shape[1]):
            raise ValueError(
                f"labels of columns must be (n, {self.outputs or 'tasks'}) with NaN where missing, "
                f"got {tuple(labels.shape)}: give the head one output for each column."
            )

    def forward(self, step: Step) -> Outcome:
        features, y = step[self.on].features, step[self.on].labels
        self._labels.check_batch(y, step)
        if self.balance is None:
            losses, present = self.losses(step.output(self.head, self.on), y)
            return Outcome(losses.sum() / present.sum().clamp_min(1), ~present.any())
        losses, present = self.losses(step.call(self.head, features.detach()), y)
        agreed = gather(losses.detach()[None]).mean(0)
        b = self.balance(agreed.masked_fill(~present, torch.nan)).masked_fill(~present, 0)
        encoder = self.losses(step.call(self.fixed_head, features), y)[0] @ b.to(losses.dtype)
        return Outcome((losses.sum() + encoder - encoder.detach()) / present.sum().clamp_min(1), ~present.any())

    def losses(self, predicted: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(tasks,)`` losses, 0 for a task without a labelled row, and whether a rank has a labelled row."""
        known = ~y.isnan()
        counts = gather(known.sum(0)[None]).sum(0)
        errors = (predicted.view_as(y) - y.nan_to_num()).square().masked_fill(~known, 0)
        return errors.sum(0) * world_size() / counts.clamp_min(1) / self.scale, counts > 0


class FixedHead(nn.Module):
    """A head that passes the gradient on and learns nothing."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self._head = (head,)  # in a tuple: the owner of the head saves the head

    def forward(self, features: Tensor) -> Tensor:
        head = self._head[0]
        return functional_call(head, {name: p.detach() for name, p in head.named_parameters()}, (features,))
