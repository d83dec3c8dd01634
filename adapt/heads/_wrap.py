"""Any module as a head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.score import Score, average, proportion


def wrap(
    module: nn.Module,
    *,
    loss: Callable[[Any, Any], Tensor],
    score: Callable[[Any, Any], Score | Tensor] | None = None,
    check: Callable[[Any], None] | None = None,
) -> nn.Module:
    """Make a head of any module.

    Args:
        module: maps features to outputs. The parameters of the module are trained and saved with the head.
        loss: ``loss(output, labels)`` returns a scalar, the mean over the rows: ``F.cross_entropy``, or an
            ``nn.Module`` such as ``nn.HuberLoss()``.
        score: ``score(output, labels)`` returns a :class:`Score`, or a boolean tensor ``(n,)`` with the rows that are
            right: the score is then the accuracy with Wilson's 95 % interval. ``None`` takes the mean loss, lower is
            better: one call of `loss` per row gives the interval.
        check: ``check(labels)`` raises a ValueError for labels that the head cannot learn from. ``None`` accepts all
            labels.

    Returns:
        A module with `forward`, `loss`, `score` and `check`.

    Raises:
        TypeError: `module` is no ``nn.Module``; `loss`, `score` or `check` cannot be called; `score` returns something
            else.
        ValueError: `loss` returns no scalar; without `score`, a loss that is no mean over the rows.

    >>> head = wrap(nn.Linear(8, 3), loss=nn.functional.cross_entropy, score=lambda z, y: z.argmax(1) == y)
    >>> head.score(torch.eye(3), torch.tensor([0, 1, 1])).value.__round__(2)
    0.67
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"`module` must be an nn.Module, got {type(module).__name__}: write a module with `forward`.")
    for what, function in (("loss", loss), ("score", score), ("check", check)):
        if not callable(function) and (function is not None or what == "loss"):
            raise TypeError(
                f"`{what}` must be a function, got {type(function).__name__}: pass the function without calling it."
            )
    return WrappedHead(module, loss, score, check)


class WrappedHead(nn.Module):
    def __init__(self, module: nn.Module, loss: Callable, score: Callable | None, check: Callable | None):
        super().__init__()
        self.module, self.loss_function, self.score_function, self.check_function = module, loss, score, check

    def extra_repr(self) -> str:
        score = "the mean loss" if self.score_function is None else _shown(self.score_function)
        check = "nothing" if self.check_function is None else _shown(self.check_function)
        return f"loss={_shown(self.loss_function)}, score={score}, check={check}"

    def forward(self, features: Tensor) -> Any:
        return self.module(features)

    def loss(self, output: Any, labels: Any) -> Tensor:
        """Return the loss of the user's function."""
        value = self.loss_function(output, labels)
        if not isinstance(value, Tensor) or value.ndim:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"`loss` of a wrapped head must return a scalar tensor, got {found}: take the mean.")
        return value

    def score(self, output: Any, labels: Any) -> Score:
        """Return the score of the user's function, or the mean loss."""
        if self.score_function is None:
            return self._mean_loss(output, labels)
        found = self.score_function(output, labels)
        if isinstance(found, Score):
            return found
        if isinstance(found, Tensor) and found.dtype == torch.bool and found.ndim == 1:
            return proportion("accuracy", found)
        shown = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(
            f"`score` of a wrapped head must return a heads.Score or a boolean tensor (n,), got {shown}: "
            'for a number per row return `heads.average("error", values, higher_is_better=False)`.'
        )

    def check(self, labels: Any) -> None:
        """Call the user's function, which raises a ValueError for wrong labels."""
        if self.check_function is not None:
            self.check_function(labels)

    def _mean_loss(self, output: Tensor, labels: Tensor) -> Score:
        rows = torch.stack([self.loss(output[i : i + 1], labels[i : i + 1]).detach() for i in range(len(labels))])
        whole = self.loss(output, labels)
        if not torch.isclose(rows.mean(), whole, rtol=1e-3, atol=1e-6):
            raise ValueError(
                f"the mean loss of single rows is {rows.mean():.4g} and the loss of all rows is {whole:.4g}: "
                "`loss` is no mean over the rows, so give `heads.wrap` a `score`."
            )
        return average("loss", rows, higher_is_better=False)


def _shown(function: Callable) -> str:
    # functions have a name; a partial or an instance has none
    return getattr(function, "__name__", type(function).__name__)
