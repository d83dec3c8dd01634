"""The backward pass of several tasks, weighed by a balance at the shared encoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adapt.engine import runtime
from adapt.engine.description import describe
from adapt.engine.objective import Objective, evaluate
from adapt.engine.step import Step
from adapt.engine.tasks.apart import FeaturesApart
from adapt.engine.tasks.conflicts import Conflicts
from adapt.engine.tasks.parameter_gramian import ParameterGramian
from adapt.engine.term import Phase, Term
from adapt.protocols import GramianBalance, StartedBalance, offers

if TYPE_CHECKING:
    from adapt.engine.update import Update

Scalars = dict[str, Tensor | float]


class TaskBackward(nn.Module):
    r"""Weighs tasks, the terms with ``task=True``, in a single phase.

    With :math:`u_t` the weight of term t, z the features and :math:`b = \text{balance}(L, G)`:

    .. math:: \nabla_\text{encoder} = \sum_t b_t u_t \nabla L_t, \qquad \nabla_\text{heads} = \sum_t u_t \nabla L_t

    The balance changes the gradient of the encoder; heads, and all other modules, keep the gradient of the plain sum.
    Two backward passes are needed. In the first, each task reads a row of a leaf with the values of the features, so a
    single pass through all heads gives :math:`D_t = u_t \partial L_t / \partial z` of each task
    (:class:`FeaturesApart`). The second pass goes through the encoder, from :math:`\sum_t b_t D_t` and from all other
    terms. A gradient of a task past the features, say of a penalty on the weights of the encoder, keeps the plain
    weight. With accumulation each micro-batch has separate weights, from the losses and the Gramian of the micro-batch.

    Args:
        balance: ``weights = balance(losses, gram)``, see :class:`adapt.protocols.Balance`; None watches the gradients
            of the tasks on logging steps and weighs nothing.
        encoder: shared by the tasks; several encoders count as one, with the features of all.
        phases: of the trainer.

    Raises:
        ValueError: a `balance` without two tasks in exactly one phase, or without learning parameters of the encoder,
            or with a task on layers of the encoder.
    """

    def __init__(self, balance: Callable | None, encoder: nn.Module, phases: Sequence[Phase]):
        super().__init__()
        several = [phase for phase in phases if len(tasks_of(phase)) >= 2]
        self._phase = several[0].name if len(several) == 1 else None
        self.tasks = tasks_of(several[0]) if len(several) == 1 else []
        self.conflicts = Conflicts([t.name for t in self.tasks], balanced=balance is not None)
        self.balance, self.exact = balance, None
        self.at = balance.at if offers(balance, GramianBalance) else None  # where gradients are compared
        if balance is not None:
            learning = {p for p in encoder.parameters() if p.requires_grad}
            check_tasks(self.tasks, len(several), len(learning))
            self.exact = exact_gramian(self.at, encoder, learning)
        if offers(balance, StartedBalance):
            balance.start(len(self.tasks))

    @property
    def name(self) -> str | None:
        """The balance with its settings: a resumed run must have the same."""
        return None if self.balance is None else describe(self.balance)

    def mark(self, updates: Sequence["Update"]) -> None:
        """Tell every update whether the balance weighs tasks there."""
        for update in updates:
            update.weighs = self.balance is not None and self._shared_by(update)

    def _shared_by(self, update: "Update") -> bool:
        return update.phase.name == self._phase and update.encoder_learns

    def evaluate(self, step: Step, update: "Update", shares: Mapping[Term, float]) -> tuple[Objective, FeaturesApart]:
        """Return the terms of the phase, each task on separate features."""
        apart = FeaturesApart(step, len(self.tasks))
        steps = dict(zip(self.tasks, apart.steps, strict=True))
        return evaluate(update.phase, step, shares, lambda term: steps.get(term, step)), apart

    def watch(self, objective: Objective, update: "Update") -> Scalars:
        """Return how the gradients of tasks agree, for tasks on the same features in a phase without weighing."""
        if not self.tasks or not self._shared_by(update):
            return {}
        shared = [f for f in objective.features if f.requires_grad]
        return (
            self.conflicts.watch(*self._agreed(objective, one_by_one(self.tasks, objective, shared))) if shared else {}
        )

    def backward(
        self, objective: Objective, apart: FeaturesApart, update: "Update", *, logging: bool
    ) -> tuple[Tensor, Scalars]:
        """Fill ``.grad``; return the detached objective and, on logging steps, scalars about the tasks.

        Args:
            objective, apart: from :meth:`evaluate`.
        """
        shared = [f for f in objective.features if f.requires_grad]
        if self.balance is None or not shared:  # the tasks look at no features
            return objective.backward(update.inputs), {}
        loss = objective.weighted(self.tasks)
        D = self._at_heads(loss, apart, update)
        losses, gram = self._agreed(objective, D, logging=logging)
        scalars = self.conflicts.watch(losses, gram) if logging else {}
        if self.exact is not None:
            gram = self._unweighted(self.exact(shared, [like(row, shared) for row in D]), objective)
            self.exact.clear()
        b = self.balance(losses, None if self.at is None else gram).to(D)
        if self._some_may_be_absent(objective):
            b = b.masked_fill(losses.isnan(), 0)
        if logging:
            scalars |= {f"balance/{task.name}": weight for task, weight in zip(self.tasks, b, strict=True)}
        others = self._at_encoder((b[None] @ D)[0], objective, update)
        return sum(others, start=loss.detach()), scalars

    def _at_encoder(self, weighed: Tensor, objective: Objective, update: "Update") -> list[Tensor]:
        """Go through the encoder, from weighed gradients at the features and from all terms but tasks.

        Return the terms but tasks, weighted and detached.
        """
        shared = [f for f in objective.features if f.requires_grad]
        others = [objective.losses[t] * objective.factor(t) for t in objective.losses if not t.task]
        learning = [value for value in others if value.requires_grad]
        ones = [torch.ones_like(value) for value in learning]
        torch.autograd.backward([*learning, *shared], [*ones, *like(weighed, shared)], inputs=update.inputs)
        return [value.detach() for value in others]

    def _some_may_be_absent(self, objective: Objective) -> bool:
        return bool(objective.absent) or not all(objective.weights[t] for t in self.tasks)

    def _at_heads(self, loss: Tensor, apart: FeaturesApart, update: "Update") -> Tensor:
        """Return ``(tasks, n d)`` gradients at the features; the gradients of the heads go into ``.grad``."""
        if loss.requires_grad:
            leaves = [leaf for leaf in apart.leaves if leaf.requires_grad]
            loss.backward(inputs=None if update.inputs is None else [*leaves, *update.inputs])
        return apart.gradients()

    def _agreed(self, objective: Objective, D: Tensor, *, logging: bool = True) -> tuple[Tensor, Tensor]:
        r"""Return losses, NaN where a task is absent, and the Gramian at the features: equal on all ranks, with a
        single collective.

        The loss is the mean over W ranks, so the gradient of a rank at a row is W times the gradient of the mean there,
        and
        the rows of other ranks are other coordinates: :math:`G = \sum_r D_r D_r^\top / W^2`.
        """
        L = torch.stack([objective.losses[t].detach() for t in self.tasks]).to(D.dtype)
        if objective.absent:
            none = torch.zeros((), dtype=torch.bool, device=L.device)
            L = L.masked_fill(torch.stack([objective.absent.get(t, none) for t in self.tasks]), torch.nan)
        if not all(objective.weights[t] for t in self.tasks):
            off = torch.tensor([objective.weights[t] == 0 for t in self.tasks], device=L.device)
            L = L.masked_fill(off, torch.nan)
        if self.at is None and not logging:
            return runtime.average(L), L
        gram, T, world = D @ D.T, len(self.tasks), runtime.world_size()
        if world > 1:
            both = runtime.average(torch.cat([L, gram.flatten()]))
            L, gram = both[:T], both[T:].view(T, T) / world
        return L, self._unweighted(gram, objective)

    def _unweighted(self, gram: Tensor, objective: Objective) -> Tensor:
        """Return the Gramian of the losses, from the Gramian of the weighted losses: preferences do not reach a
        balance.
        """
        weights = [objective.factor(t) for t in self.tasks]
        if all(w == 1.0 for w in weights):
            return gram
        inverse = torch.tensor([1 / w if w else 0.0 for w in weights], dtype=gram.dtype, device=gram.device)
        return gram * torch.outer(inverse, inverse)


def tasks_of(phase: Phase) -> list[Term]:
    return [term for term in phase.terms if term.task]


def check_tasks(tasks: Sequence[Term], phases: int, learning: int) -> None:
    """Raise unless a balance has something to weigh.

    Args:
        phases: the number of phases with two tasks or more.
        learning: the number of learning tensors of the encoder.
    """
    if not tasks or not learning:
        raise ValueError(
            "`balance` weighs two or more terms that are tasks (`multitask.task(...)`) in one phase, at the encoder "
            "that "
            f"the tasks share: found {phases} such phases and {learning} learning tensors of the encoder. With a "
            "frozen "
            "encoder there is nothing to balance: leave `balance` out."
        )
    if past := [t.name for t in tasks if t.layers]:
        raise ValueError(
            f"`balance` weighs gradients at the features, and task `{past[0]}` asks for layers of the encoder as well: "
            "make the part of the loss that uses layers a term that is no task."
        )


def exact_gramian(
    at: str | nn.Module | None, encoder: nn.Module, learning: set[nn.Parameter]
) -> ParameterGramian | None:
    """Return the Gramian at parameters for a balance with such an `at`, else None."""
    if at in (None, "features"):
        return None
    if at != "parameters" and not isinstance(at, nn.Module):
        raise ValueError(f"`at` of `balance` must be 'features', 'parameters' or a module, got {at!r}.")
    exact = ParameterGramian(at if isinstance(at, nn.Module) else encoder)
    if not learning.issuperset(exact.parameters) or not exact.parameters:
        raise ValueError("`at` of `balance` must be a module inside of the encoder with parameters that learn.")
    return exact


def one_by_one(tasks: Sequence[Term], objective: Objective, shared: Sequence[Tensor]) -> Tensor:
    """Return ``(tasks, n d)`` gradients at features read by all tasks: a backward pass for each task, on logging
    steps.
    """
    rows = []
    for t in tasks:
        found: Sequence[Tensor | None] = [None] * len(shared)
        if objective.losses[t].requires_grad:
            weighted = objective.factor(t) * objective.losses[t]
            found = torch.autograd.grad(weighted, shared, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat([(torch.zeros_like(f) if g is None else g).flatten() for g, f in zip(found, shared, strict=True)])
        )
    return torch.stack(rows)


def like(row: Tensor, shared: Sequence[Tensor]) -> list[Tensor]:
    """Return the numbers of `row` as tensors with the shapes of `shared`."""
    if len(shared) == 1:
        return [row.view_as(shared[0])]
    return [part.view_as(f) for part, f in zip(row.split([f.numel() for f in shared]), shared, strict=True)]
