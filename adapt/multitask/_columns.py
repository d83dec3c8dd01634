"""Many regressions by one head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from adapt.engine import Step, Term, gather, world_size
from adapt.engine.schedule import Schedule
from adapt.multitask._task import check_scale, natural_scale
from adapt.protocols import Balance
from adapt.streams import Stream


def columns(
    name: str,
    head: nn.Module,
    on: str,
    *,
    balance: Balance | None = None,
    scale: float | str = "natural",
    weight: float | Schedule = 1.0,
) -> Term:
    r"""A task a column of a label matrix, all predicted by one head: dozens or hundreds of them at the price of one.

    .. math::
        \frac{1}{|P|} \sum_{t \in P} L_t, \qquad L_t = \frac{1}{s \, |R_t|} \sum_{i \in R_t} (h_t(z_i) - y_{it})^2, \qquad
        R_t = \{ i : y_{it} \text{ is not NaN} \}

    with P the tasks that have a row in this batch. For 139 schools, each pupil in one of them, a row of labels has 138 NaN.

    Args:
        name: of the term.
        head: predicts ``(n, tasks)``; ``heads.Regressor(dim, outputs=tasks)``.
        on: a stream with labels ``(n, tasks)``.
        balance: weighs the tasks at the encoder, from their losses; the head keeps the gradient of the plain mean. It runs the
            head twice.
        scale: s, one for all; ``"natural"`` is the mean variance of the labels within the columns.
        weight: of the term.

    On several ranks: every mean is over the rows of all of them, exact.

    Raises:
        ValueError: a balance that needs the Gramian (use :func:`adapt.multitask.task`); labels that are no matrix; a scale that is not positive.
    """
    if getattr(balance, "at", None) is not None:
        raise ValueError(
            "`balance` of columns sees losses alone, and this one needs the Gramian: make each column a `task`."
        )
    return Term(name, Columns(name, head, on, balance, scale), weight, streams=[on])


class Columns(nn.Module):
    def __init__(self, name: str, head: nn.Module, on: str, balance: Balance | None, scale: float | str):
        super().__init__()
        check_scale(scale, name)
        self.name, self.head, self.on, self.balance = name, head, on, balance
        self.scale: Any = scale  # a number once the labels were looked at
        self.fixed = Fixed(head)

    def check(self, streams: Mapping[str, Stream]) -> None:
        labels = streams[self.on].all_labels()
        if labels is not None and labels.ndim != 2:
            raise ValueError(f"labels of columns must be (n, tasks) with NaN where missing, got {tuple(labels.shape)}.")
        tasks = getattr(self.head, "outputs", None) if labels is None else labels.shape[1]
        if tasks and hasattr(
            self.balance, "start"
        ):  # before the first step: its state is part of what is saved and resumed
            self.balance.start(tasks)  # type: ignore[union-attr]
        if self.scale == "natural":
            within = None if labels is None else (labels - labels.nanmean(0))
            self.scale = natural_scale(self.head, None if within is None else within[~within.isnan()], self.name)

    def forward(self, step: Step) -> Tensor:
        features, y = step[self.on].features, step[self.on].labels
        if self.balance is None:
            losses, present = self.losses(step.output(self.head, self.on), y)
            return losses.sum() / present.sum().clamp_min(1)
        losses, present = self.losses(step.call(self.head, features.detach()), y)
        agreed = gather(losses.detach()[None]).mean(0)
        b = self.balance(agreed.masked_fill(~present, torch.nan)).masked_fill(~present, 0)
        encoder = self.losses(step.call(self.fixed, features), y)[0] @ b.to(losses.dtype)
        return (losses.sum() + encoder - encoder.detach()) / present.sum().clamp_min(1)

    def losses(self, predicted: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """``(tasks,)`` losses, 0 where there is no row, and whether there is one on any rank."""
        there = ~y.isnan()
        counts = gather(there.sum(0)[None]).sum(0)
        errors = (predicted - y.nan_to_num()).square().masked_fill(~there, 0)
        return errors.sum(0) * world_size() / counts.clamp_min(1) / self.scale, counts > 0


class Fixed(nn.Module):
    """A head that passes the gradient on and learns nothing."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self._head = (head,)  # in a tuple: saved once, by its owner

    def forward(self, features: Tensor) -> Tensor:
        head = self._head[0]
        return functional_call(head, {name: p.detach() for name, p in head.named_parameters()}, (features,))
