"""The backward pass of a phase: a plain one, or one that weighs several tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adapt.engine import runtime
from adapt.engine.description import describe
from adapt.engine.step import Step
from adapt.engine.tasks.conflicts import Conflicts
from adapt.engine.tasks.parameter_gramian import ParameterGramian
from adapt.engine.term import Phase, Term, weighted_sum

if TYPE_CHECKING:
    from adapt.engine.update import Update


class Balancing(nn.Module):
    r"""Weighs the terms that are tasks, ``Term(..., task=True)``, in one phase.

    With :math:`u_t` the weight of term t, z the features and :math:`b = \text{balance}(L, G)`:

    .. math:: \nabla_\text{encoder} = \sum_t b_t u_t \nabla L_t, \qquad \nabla_\text{heads} = \sum_t u_t \nabla L_t

    Weights apply to the encoder; whatever else learns keeps the gradient of the plain sum. Two backward passes: each task reads
    a row of one leaf with the values of the features, so one pass through all heads gives :math:`D_t = u_t \partial L_t / \partial z` apart;
    the other goes through the encoder, from :math:`\sum_t b_t D_t` and the terms that are no tasks. What of a task reaches the
    encoder past the features, say a penalty on its weights, keeps its plain weight. With accumulation each micro-batch has its
    own weights, from its own losses and Gramian.

    Args:
        balance: ``weights = balance(losses, gram)``, see :class:`adapt.protocols.Balance`; None for the plain sum.
        encoder: its parameters are what tasks share.
        phases: of the trainer.

    Raises:
        ValueError: a `balance` without two tasks in exactly one phase, or without parameters that they share, or with a
            task that asks for layers of the encoder.
    """

    objective: Tensor  # of the last backward

    def __init__(self, balance: Callable | None, encoder: nn.Module, phases: Sequence[Phase]):
        super().__init__()
        several = [p for p in phases if sum(t.task for t in p.terms) >= 2]
        tasks = [t for t in several[0].terms if t.task] if len(several) == 1 else []
        self.conflicts, self._phase = (
            Conflicts([t.name for t in tasks], balanced=balance is not None),
            several[0].name if tasks else None,
        )
        learning = [p for p in encoder.parameters() if p.requires_grad]
        if balance is not None and (not tasks or not learning):
            raise ValueError(
                "`balance` weighs two or more terms that are tasks (`multitask.task(...)`) in one phase, at the encoder that "
                f"they share: found {len(several)} such phases and {len(learning)} learning tensors of the encoder. With a frozen encoder "
                "there is nothing to balance: leave it out."
            )
        if balance is not None and (past := [t.name for t in tasks if t.layers]):
            raise ValueError(
                f"`balance` weighs what reaches the encoder through its features, and task `{past[0]}` asks for layers of it as well: "
                "make that part a term that is no task."
            )
        self.balance, self._shared, self._exact = balance, set(learning), None
        at = getattr(balance, "at", None)
        self._needs_gram = at is not None
        if isinstance(at, nn.Module) or at == "parameters":
            self._exact = ParameterGramian(at if isinstance(at, nn.Module) else encoder)
            if not self._shared.issuperset(self._exact.parameters) or not self._exact.parameters:
                raise ValueError("`at` of `balance` must be a module inside of the encoder with parameters that learn.")
        elif at not in (None, "features"):
            raise ValueError(f"`at` of `balance` must be 'features', 'parameters' or a module, got {at!r}.")
        if hasattr(balance, "start"):
            balance.start(len(self.conflicts.tasks))  # type: ignore[union-attr]

    @property
    def name(self) -> str | None:
        """The balance with its settings: a run goes on with the balance and the settings that the run began with."""
        return None if self.balance is None else describe(self.balance)

    def values(self, step: Step, update: "Update") -> dict[Term, Tensor]:
        """The terms of a phase; a task that is weighed reads features of its own."""
        apart = self.balance is not None and self._several(update)
        tasks = [term for term in update.phase.terms if term.task]
        found = {}
        for term in update.phase.terms:
            if apart:
                step.read_apart(tasks.index(term) if term.task else None, len(tasks))
            found[term] = term(step)
        return found

    def _several(self, update: "Update") -> bool:
        return update.phase.name == self._phase and update.encoder_learns

    def backward(
        self,
        step: Step,
        update: "Update",
        values: Mapping[Term, Tensor],
        weights: Mapping[Term, float],
        accumulate: int = 1,
    ) -> dict[str, Tensor | float]:
        """Fill ``.grad`` and set `objective`, detached; on logging steps, what there is to say about the tasks.

        Args:
            values: from :meth:`values`.
            accumulate: micro-batches a step: each counts for its share.
        """
        if not any(value.requires_grad for value in values.values()):
            raise ValueError(
                f"no term of phase `{update.phase.name}` depends on what it updates: nothing would be learned."
            )
        weights = {term: weight / accumulate for term, weight in weights.items()}
        shared = [f for f in step.shared if f.requires_grad]
        tasks = [term for term in values if term.task] if self._several(update) and shared else []
        scalars: dict[str, Tensor | float] = {}
        if self.balance is None or not tasks:
            loss = weighted_sum(list(values.values()), list(weights.values()))
            self.objective = loss.detach()
            if tasks and step.logging:
                scalars = self.conflicts.watch(
                    *self._agreed(step, tasks, values, weights, one_by_one(tasks, values, weights, shared))
                )
            loss.backward(inputs=update.inputs)
            if self._exact is not None and update.encoder_learns:
                self._exact.clear()
            return scalars

        loss = weighted_sum([values[t] for t in tasks], [weights[t] for t in tasks])
        D = self._at_heads(step, loss, len(tasks), update)
        losses, gram = self._agreed(step, tasks, values, weights, D)
        if step.logging:
            scalars = self.conflicts.watch(losses, gram)
        if self._exact is not None:
            gram = raw(self._exact(shared, [like(row, shared) for row in D]), weights, tasks)
            self._exact.clear()
        b = self.balance(losses, gram if self._needs_gram else None).to(D)
        if step.absent or not all(weights[t] for t in tasks):
            b = b.masked_fill(losses.isnan(), 0)
        others = [values[t] * weights[t] for t in values if not t.task]
        self.objective = sum((v.detach() for v in others), start=loss.detach())
        learning = [v for v in others if v.requires_grad]
        torch.autograd.backward(
            [*learning, *shared],
            [*(torch.ones_like(v) for v in learning), *like((b[None] @ D)[0], shared)],
            inputs=update.inputs,
        )
        if self._exact is not None:
            self._exact.clear()  # of what activation checkpoints have called again
        if step.logging:
            scalars |= {f"balance/{name}": weight for name, weight in zip(self.conflicts.tasks, b, strict=True)}
        return scalars

    def _at_heads(self, step: Step, loss: Tensor, tasks: int, update: "Update") -> Tensor:
        """``(tasks, n d)`` gradients at the features; those of the heads go into ``.grad``."""
        if loss.requires_grad:
            leaves = [leaf for leaf in step.apart if leaf.requires_grad]
            loss.backward(inputs=None if update.inputs is None else [*leaves, *update.inputs])
        blocks = []
        for number, f in enumerate(step.shared):
            if f.requires_grad:  # no task may have read what another term has
                found = step.apart[number].grad if number < len(step.apart) else None
                blocks.append(f.new_zeros(tasks, f.numel()) if found is None else found.flatten(1))
        for leaf in step.apart:
            leaf.grad = None  # it would lie in memory twice
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1)

    def _agreed(
        self, step: Step, tasks: Sequence[Term], values: Mapping[Term, Tensor], weights: Mapping[Term, float], D: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Losses, NaN where a task is absent, and the Gramian at the features: the same on every rank, one collective.

        The loss is the mean over W ranks, so its gradient at a row is 1 / W of what that rank has, and other ranks' rows are
        other coordinates: :math:`G = \sum_r D_r D_r^\top / W^2`.
        """
        L = torch.stack([values[t].detach() for t in tasks]).to(D.dtype)
        if step.absent:
            none = torch.zeros((), dtype=torch.bool, device=L.device)
            L = L.masked_fill(torch.stack([step.absent.get(id(t.loss), none) for t in tasks]), torch.nan)
        if not all(weights[t] for t in tasks):
            L = L.masked_fill(torch.tensor([weights[t] == 0 for t in tasks], device=L.device), torch.nan)
        if not self._needs_gram and not step.logging:
            return runtime.average(L), L
        gram, T, world = D @ D.T, len(tasks), runtime.world_size()
        if world > 1:
            both = runtime.average(torch.cat([L, gram.flatten()]))
            L, gram = both[:T], both[T:].view(T, T) / world
        return L, raw(gram, weights, tasks)


def one_by_one(
    tasks: Sequence[Term], values: Mapping[Term, Tensor], weights: Mapping[Term, float], shared: Sequence[Tensor]
) -> Tensor:
    """``(tasks, n d)`` gradients at the features of tasks that read the same ones: a pass a task, which a look now and then can afford."""
    rows = []
    for t in tasks:
        found: Sequence[Tensor | None] = [None] * len(shared)
        if values[t].requires_grad:
            found = torch.autograd.grad(weights[t] * values[t], shared, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat([(torch.zeros_like(f) if g is None else g).flatten() for g, f in zip(found, shared, strict=True)])
        )
    return torch.stack(rows)


def like(row: Tensor, shared: Sequence[Tensor]) -> list[Tensor]:
    """A row of numbers cut into tensors of the shapes of `shared`."""
    if len(shared) == 1:
        return [row.view_as(shared[0])]
    return [part.view_as(f) for part, f in zip(row.split([f.numel() for f in shared]), shared, strict=True)]


def raw(gram: Tensor, weights: Mapping[Term, float], tasks: Sequence[Term]) -> Tensor:
    """The Gramian of the losses from that of the weighted losses: a balance sees what preferences do not change."""
    if all(weights[t] == 1.0 for t in tasks):
        return gram
    inverse = torch.tensor([1 / weights[t] if weights[t] else 0.0 for t in tasks], dtype=gram.dtype, device=gram.device)
    return gram * torch.outer(inverse, inverse)
