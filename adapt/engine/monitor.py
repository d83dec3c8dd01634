"""Scalars of a step for TensorBoard."""

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapt.engine import runtime
from adapt.engine.objective import Objective


def monitor(objective: Objective, features: Sequence[Tensor], *, prefix: str = "") -> dict[str, Tensor | float]:
    """Return for every term the raw value, the weighted value, the weight, and the share of the gradient at the
    features.

    The share of a term is the norm of the gradient of the weighted value with respect to the features, divided by the
    sum of such norms over the terms. Costs a backward pass through the heads for each term, on logging steps.

    Args:
        objective: the terms of a phase.
        features: where gradients are compared.
        prefix: of the tags.
    """
    scalars, weighted = term_values(objective, prefix=prefix), objective.each_weighted()
    norms = {term: gradient_norm(value, features) for term, value in weighted.items()}
    total = torch.stack(list(norms.values())).sum()
    for term, norm in norms.items():
        scalars[f"share/{prefix}{term.name}"] = norm / total.clamp_min(torch.finfo(norm.dtype).tiny)
    return scalars


def term_values(objective: Objective, *, prefix: str = "") -> dict[str, Tensor | float]:
    """Return for every term the raw value, the weighted value and the weight, and the sum of the weighted values."""
    scalars: dict[str, Tensor | float] = {}
    weighted = objective.each_weighted()
    for term, loss in objective.losses.items():
        absent = objective.absent.get(term)  # an absent term has no loss; zero would be a wrong value
        shown = loss.detach() if absent is None else loss.detach().masked_fill(absent, torch.nan)
        scalars[f"loss/{prefix}{term.name}"] = shown
        scalars[f"weighted/{prefix}{term.name}"] = weighted[term].detach()
        scalars[f"weight/{prefix}{term.name}"] = objective.weights[term]
    scalars[f"loss/{prefix}total"] = torch.stack([value.detach() for value in weighted.values()]).sum()
    return scalars


def gradient_norm(value: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Return the norm of the gradient of `value` at `features`; zero where `value` does not depend on the features. The
    graph stays.
    """
    learning = [f for f in features if f.requires_grad]
    if not value.requires_grad or not learning:
        return value.new_zeros(())
    grads = torch.autograd.grad(value, learning, retain_graph=True, allow_unused=True)
    squares = [g.float().square().sum() for g in grads if g is not None]
    return torch.stack(squares).sum().sqrt() if squares else value.new_zeros(())


def as_numbers(scalars: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Return scalars as numbers, averaged over the ranks: a single transfer from the device and a single collective."""
    tensors = {k: v for k, v in scalars.items() if isinstance(v, Tensor)}
    values: dict[str, float] = {k: v for k, v in scalars.items() if not isinstance(v, Tensor)}
    if tensors:
        flat = runtime.average(torch.stack([v.detach().float().reshape(()) for v in tensors.values()]))
        values |= dict(zip(tensors, flat.tolist(), strict=True))
    return values


class Speed:
    """Counts steps between two readings of the clock.

    Args:
        rows: of all streams, for each step.
    """

    def __init__(self, rows: int):
        self.rows, self.steps, self.since = rows, 0, time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return samples per second since the last reading; nothing where no step was done."""
        now = time.perf_counter()
        found = {"speed/samples_per_second": self.rows * self.steps / (now - self.since)} if self.steps else {}
        self.steps, self.since = 0, now
        return found
