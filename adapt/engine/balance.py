"""The backward pass of a phase: a plain one, or one that weighs several tasks."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adapt.engine import runtime
from adapt.engine.gramian import ParameterGramian
from adapt.engine.step import Step
from adapt.engine.term import Phase, Term, weighted_sum

if TYPE_CHECKING:
    from adapt.engine.update import Update


class Balancing(nn.Module):
    r"""Weighs the terms that are tasks, ``Term(..., task=True)``, in one phase.

    With :math:`u_t` the weight of term t, z the features and :math:`b = \text{balance}(L, G)`:

    .. math:: \nabla_\text{encoder} = \sum_t b_t u_t \nabla L_t, \qquad \nabla_\text{heads} = \sum_t u_t \nabla L_t

    Weights apply to the encoder; whatever else learns keeps the gradient of the plain sum. Each head is passed through once,
    :math:`D_t = u_t \partial L_t / \partial z`, and the encoder once, from :math:`\sum_t b_t D_t` and the terms that are no tasks.
    A task reaches the encoder through the features of the step alone. With accumulation each micro-batch has its own
    weights, from its own losses and Gramian.

    Args:
        balance: ``weights = balance(losses, gram)``, see :class:`adapt.multitask.Balance`; None for the plain sum.
        encoder: its parameters are what tasks share.
        phases: of the trainer.

    Buffers, where there are two tasks or more: sums over the logging steps of the tasks' squared gradient norms at the
    features, of their cosines and of their conflicts, for :meth:`verdict` and :meth:`affinity`.

    Raises:
        ValueError: a `balance` without two tasks in exactly one phase, or without parameters that they share.
    """

    seen: Tensor
    norms: Tensor
    cosines: Tensor
    conflicts: Tensor
    objective: Tensor  # of the last backward

    def __init__(self, balance: Callable | None, encoder: nn.Module, phases: Sequence[Phase]):
        super().__init__()
        several = [p for p in phases if sum(t.task for t in p.terms) >= 2]
        self.tasks = [t.name for t in several[0].terms if t.task] if len(several) == 1 else []
        learning = [p for p in encoder.parameters() if p.requires_grad]
        if balance is not None and (not self.tasks or not learning):
            raise ValueError(
                "`balance` weighs two or more terms that are tasks (`multitask.task(...)`) in one phase, at the encoder that "
                f"they share: found {len(several)} such phases and {len(learning)} learning tensors of the encoder. With a frozen encoder "
                "there is nothing to balance: leave it out."
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
        T = len(self.tasks)
        if T:
            if hasattr(balance, "start"):
                balance.start(T)  # type: ignore[union-attr]
            self.register_buffer("seen", torch.zeros(T, T))
            self.register_buffer("norms", torch.zeros(T))
            self.register_buffer("cosines", torch.zeros(T, T))
            self.register_buffer("conflicts", torch.zeros(T, T))

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
            accumulate: micro-batches a step: each counts for its share.
        """
        weights = {term: weight / accumulate for term, weight in weights.items()}
        loss = weighted_sum(list(values.values()), list(weights.values()))
        if not loss.requires_grad:
            raise ValueError(
                f"no term of phase `{update.phase.name}` depends on what it updates: nothing would be learned."
            )
        self.objective = loss.detach()
        tasks = [term for term in values if term.task]
        shared = [f for f in step.shared if f.requires_grad]
        several = len(tasks) >= 2 and [t.name for t in tasks] == self.tasks and update.encoder_learns and bool(shared)
        scalars: dict[str, Tensor | float] = {}
        if several and (self.balance is not None or step.logging):
            D = self._at_heads(tasks, values, weights, shared, update)
            losses, gram = self._agreed(step, tasks, values, weights, D)
            if step.logging:
                scalars = self._watch(losses, gram)
        if not several or self.balance is None:
            loss.backward(inputs=update.inputs)
            if self._exact is not None and update.encoder_learns:
                self._exact.clear()
            return scalars
        if self._exact is not None:
            parts = [
                [g.view_as(f) for g, f in zip(row.split([f.numel() for f in shared]), shared, strict=True)] for row in D
            ]
            gram = raw(self._exact(shared, parts), weights, tasks)
            self._exact.clear()
        b = self.balance(losses, gram if self._needs_gram else None).to(D).masked_fill(losses.isnan(), 0)
        others = [values[t] * weights[t] for t in values if not t.task and values[t].requires_grad]
        combined = zip((b @ D).split([f.numel() for f in shared]), shared, strict=True)
        torch.autograd.backward(
            [*others, *shared],
            [*(torch.ones_like(v) for v in others), *(g.view_as(f) for g, f in combined)],
            inputs=update.inputs,
        )
        if step.logging:
            scalars |= {f"balance/{name}": weight for name, weight in zip(self.tasks, b, strict=True)}
        return scalars

    def _at_heads(
        self,
        tasks: Sequence[Term],
        values: Mapping[Term, Tensor],
        weights: Mapping[Term, float],
        shared: Sequence[Tensor],
        update: "Update",
    ) -> Tensor:
        """``(tasks, n d)`` gradients at the features; those of the heads go into ``.grad`` where a balance is set."""
        heads = [p for p in update.parameters if p not in self._shared] if self.balance is not None else []
        inputs, found = [*shared, *heads], []
        for f in shared:
            f.retain_grad()  # `backward(inputs=...)` would, but a task of weight 0 asks before it
        for term in tasks:
            value, weight = values[term], weights[term]
            if weight != 0 and value.requires_grad:
                torch.autograd.backward(value if weight == 1.0 else weight * value, retain_graph=True, inputs=inputs)
            for f in shared:
                found.append(torch.zeros_like(f) if f.grad is None else f.grad)
                f.grad = None
        return torch.stack(found).view(len(tasks), -1) if len(shared) == 1 else ragged(found, len(tasks))

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
        both = runtime.average(torch.cat([L, (D @ D.T).flatten()]))
        T = len(tasks)
        return both[:T], raw(both[T:].view(T, T) / runtime.world_size(), weights, tasks)

    def _watch(self, losses: Tensor, gram: Tensor) -> dict[str, Tensor | float]:
        """Norms, cosines and conflicts at the features; summed up for the verdict."""
        squares = gram.diagonal()
        live = ~losses.isnan() & (squares > 0)
        pairs = live[:, None] & live
        norms = squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()
        cosines = torch.where(pairs, gram / torch.outer(norms, norms), 0.0)
        self.seen += pairs
        self.norms += torch.where(live, norms, 0.0)
        self.cosines += cosines
        self.conflicts += cosines < 0
        other = ~torch.eye(len(gram), dtype=torch.bool, device=gram.device) & pairs
        scalars: dict[str, Tensor | float] = {
            f"task_gradient/{name}": torch.where(there, norm, torch.nan)
            for name, norm, there in zip(self.tasks, norms, live, strict=True)
        }
        count = other.sum().clamp_min(1)
        scalars["tasks/cosine"] = (cosines * other).sum() / count
        scalars["tasks/conflict_rate"] = ((cosines < 0) & other).sum() / count
        if len(gram) <= 8:
            for i, j in torch.combinations(torch.arange(len(gram)), 2).tolist():
                scalars[f"task_cosine/{self.tasks[i]}_{self.tasks[j]}"] = cosines[i, j]
        return scalars

    def affinity(self) -> Tensor:
        """``(tasks, tasks)`` mean cosines of the tasks' gradients at the features, over the logging steps; NaN where none
        was seen. Tasks that help each other are near 1, tasks on different rows exactly 0.
        """
        return torch.where(self.seen > 0, self.cosines / self.seen, torch.nan)

    def verdict(self) -> str:
        """One sentence: was balancing worth anything? From the logging steps; "" where no two tasks were seen.

        Weighing can help where gradients differ in length by a factor of more than 3, projecting where they conflict in
        more than a third of the pairs: rules of thumb, ours. The score against the plain sum decides.
        """
        if not self.tasks or self.seen.diagonal().sum() == 0:
            return ""
        norms = self.norms / self.seen.diagonal().clamp_min(1)
        norms = norms[norms > 0]
        ratio = (norms.max() / norms.min()).item() if len(norms) else math.nan
        other = ~torch.eye(len(self.tasks), dtype=torch.bool, device=self.seen.device)
        rate = (self.conflicts[other].sum() / self.seen[other].sum().clamp_min(1)).item()
        facts = (
            f"at the features the tasks' gradients differ in length by a factor of {ratio:.2g} and conflict in {rate:.0%} "
            "of the pairs"
        )
        remedies = []
        if ratio > 3:
            remedies.append("a balance of lengths (imtl_g, nash_mtl, uncertainty)")
        if rate > 1 / 3:
            remedies.append("a projection (upgrad)")
        own = self.balance is not None
        if not remedies:
            return f"{facts}: " + ("the plain sum would have done as well." if own else "nothing to balance.")
        return f"{facts}: {' or '.join(remedies)} may be worth it; compare with the plain sum."


def ragged(found: Sequence[Tensor], tasks: int) -> Tensor:
    """``(tasks, n d)`` from the gradients at several passes of the encoder, task by task."""
    passes = len(found) // tasks
    return torch.stack([torch.cat([g.reshape(-1) for g in found[t * passes : (t + 1) * passes]]) for t in range(tasks)])


def raw(gram: Tensor, weights: Mapping[Term, float], tasks: Sequence[Term]) -> Tensor:
    """The Gramian of the losses from that of the weighted losses: a balance sees what preferences do not change."""
    if all(weights[t] == 1.0 for t in tasks):
        return gram
    inverse = torch.tensor([1 / weights[t] if weights[t] else 0.0 for t in tasks], dtype=gram.dtype, device=gram.device)
    return gram * torch.outer(inverse, inverse)


def affinity_figure(cosines: Tensor, names: Sequence[str]) -> Any:
    """A matplotlib figure of cosines between tasks, from -1 in red to 1 in blue."""
    from matplotlib.figure import Figure

    size = min(12.0, 2.5 + 0.4 * len(names))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(cosines.cpu().numpy(), cmap="RdBu", vmin=-1, vmax=1)
    if len(names) <= 30:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        for i, j in torch.cartesian_prod(*2 * [torch.arange(len(names))]).tolist():
            axes.text(j, i, f"{cosines[i, j]:.2f}", ha="center", va="center", fontsize=7)
    return figure
