"""Any module as a head."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.score import Score, average, proportion
from adapt.heads.sizes import names_of
from adapt.protocols import HasNames, offers
from losses import gather

REMEDY = (
    "for a number per row give `score=lambda m, units=None: "
    'heads.average("error", m, higher_is_better=False, units=units)`'
)


def wrap(
    module: nn.Module,
    *,
    loss: Callable[[Any, Any], Tensor],
    measure: Callable[[Any, Any], Any] | None = None,
    score: Callable[..., Score] | None = None,
    check: Callable[[Any], None] | None = None,
    count: Callable[[Any], float] | None = None,
    names: Sequence[str] | None = None,
) -> nn.Module:
    """Make a head of any module.

    Args:
        module: maps features to outputs. The parameters of the module are trained and saved with the head.
        loss: ``loss(output, labels)`` returns a scalar, the mean over the rows: ``F.cross_entropy``, or an
            ``nn.Module`` such as ``nn.HuberLoss()``.
        measure: ``measure(output, labels)`` returns the measures of each row of a batch, enough for `score`: a tensor
            ``(n, ...)``, a list with one entry per row, or a tuple or mapping of such parts. ``None`` takes the loss of
            each row: one call of `loss` per row.
        score: ``score(measures)`` returns a :class:`Score` of the measures of all rows; where the caller gives units,
            ``score(measures, units=units)`` does. ``None`` takes the accuracy with Wilson's 95 % interval where
            `measure` returns a boolean tensor ``(n,)`` with the rows that are right. Without a `measure`, ``None``
            takes the mean loss, lower is better.
        check: ``check(labels)`` raises a ValueError for labels that the head cannot learn from. ``None`` accepts all
            labels.
        count: ``count(labels)`` returns the number of things that `loss` is a mean over on a batch, say all boxes. The
            mean is then over the things of all ranks and micro-batches; the loss of a batch without any must be finite.
            ``None`` is the number of rows.
        names: of the classes, where the outputs are logits ``(n, classes, ...)`` of classes that exclude one another:
            ``adapt.Model.predict`` then gives these names. ``None``: outputs without names.

    Returns:
        A module with `forward`, `loss`, `measure`, `score` and `check`.

    Raises:
        TypeError: `module` is no ``nn.Module``; `loss`, `measure`, `score` or `check` cannot be called; `score` returns
            something else; without `score`, a `measure` that returns something else than booleans.
        ValueError: `loss` returns no scalar; without `measure`, a loss that is no mean over the rows.

    >>> head = wrap(nn.Linear(8, 3), loss=nn.functional.cross_entropy, measure=lambda z, y: z.argmax(1) == y)
    >>> head.score(head.measure(torch.eye(3), torch.tensor([0, 1, 1]))).value.__round__(2)
    0.67
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"`module` must be an nn.Module, got {type(module).__name__}: write a module with `forward`.")
    for what, function in (("loss", loss), ("measure", measure), ("score", score), ("check", check), ("count", count)):
        if not callable(function) and (function is not None or what == "loss"):
            raise TypeError(
                f"`{what}` must be a function, got {type(function).__name__}: pass the function without calling it."
            )
    named = None if names is None else names_of(names, "`names`")
    return WrappedHead(module, loss, measure, score, check, count, named)


class WrappedHead(nn.Module):
    def __init__(
        self,
        module: nn.Module,
        loss: Callable,
        measure: Callable | None,
        score: Callable[..., Score] | None,
        check: Callable | None,
        count: Callable | None,
        names: list[str] | None,
    ):
        super().__init__()
        if names is not None:  # else no attribute: a head without names
            self.names: Any = names
        self.module, self.loss_function, self.measure_function = module, loss, measure
        self.score_function, self.check_function = score, check
        self.counts = count is not None
        if count is not None:
            self.count = count  # the head offers `count`, see adapt.protocols.Counts

    def extra_repr(self) -> str:
        measure = "the loss" if self.measure_function is None else _shown(self.measure_function)
        default = "the mean loss" if self.measure_function is None else "the accuracy"
        score = default if self.score_function is None else _shown(self.score_function)
        check = "nothing" if self.check_function is None else _shown(self.check_function)
        return f"loss={_shown(self.loss_function)}, measure={measure}, score={score}, check={check}"

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        functions = {"loss": self.loss_function, "measure": self.measure_function, "score": self.score_function}
        names = self.names if offers(self, HasNames) else None
        more = {"check": self.check_function, "count": self.count if self.counts else None, "names": names}
        return "adapt.heads.wrap", {"module": self.module, **functions, **more}

    def forward(self, features: Tensor) -> Any:
        return self.module(features)

    def loss(self, output: Any, labels: Any) -> Tensor:
        """Return the loss of the user's function, a mean over the counted things of all ranks."""
        value = self._loss(output, labels)
        if not self.counts:
            return value
        own = torch.tensor([float(self.count(labels))], dtype=torch.float64, device=value.device)
        counts = gather(own)
        # the share of this rank: the mean over the ranks is then the mean over all things
        return value if len(counts) == 1 else value * (own * len(counts) / counts.sum().clamp_min(1)).to(value.dtype)[0]

    def _loss(self, output: Any, labels: Any) -> Tensor:
        value = self.loss_function(output, labels)
        if not isinstance(value, Tensor) or value.ndim:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"`loss` of a wrapped head must return a scalar tensor, got {found}: take the mean.")
        return value

    def measure(self, output: Any, labels: Any) -> Any:
        """Return the measures of the user's function, or the loss of each row, after a check of the labels."""
        self.check(labels)
        return self._losses(output, labels) if self.measure_function is None else self.measure_function(output, labels)

    def score(self, measures: Any, units: Tensor | None = None) -> Score:
        """Return the score of the user's function, the accuracy, or the mean loss."""
        if self.score_function is not None:
            found = self.score_function(measures) if units is None else self.score_function(measures, units=units)
            if isinstance(found, Score):
                return found
            raise TypeError(f"`score` of a wrapped head must return a heads.Score, got {_kind(found)}: {REMEDY}.")
        if self.measure_function is None:
            return average("loss", measures, higher_is_better=False, units=units)
        if isinstance(measures, Tensor) and measures.dtype == torch.bool and measures.ndim == 1:
            return proportion("accuracy", measures, units=units)
        raise TypeError(
            "`measure` of a wrapped head without `score` must return a boolean tensor (n,), got "
            f"{_kind(measures)}: {REMEDY}."
        )

    def check(self, labels: Any) -> None:
        """Call the user's function, which raises a ValueError for wrong labels."""
        if self.check_function is not None:
            self.check_function(labels)

    def _losses(self, output: Tensor, labels: Tensor) -> Tensor:
        rows = torch.stack([self._loss(output[i : i + 1], labels[i : i + 1]).detach() for i in range(len(labels))])
        whole = self._loss(output, labels)
        if not torch.isclose(rows.mean(), whole, rtol=1e-3, atol=1e-6):
            raise ValueError(
                f"the mean loss of single rows is {rows.mean():.4g} and the loss of all rows is {whole:.4g}: "
                "`loss` is no mean over the rows, so give `heads.wrap` a `measure`."
            )
        return rows


def _kind(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _shown(function: Callable) -> str:
    # functions have a name; a partial or an instance has none
    return getattr(function, "__name__", type(function).__name__)
