"""What TensorBoard is told about the terms of a step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adapt.engine.step import Step

if TYPE_CHECKING:
    from adapt.engine.term import Term


def monitor(
    step: Step, values: Mapping["Term", Tensor], weights: Mapping["Term", float], *, prefix: str = ""
) -> dict[str, Tensor | float]:
    """Every term raw and weighted, its weight, its share of the gradient at the shared features, and what it reports.

    The share of a term is the norm of the gradient of its weighted value at the features that the encoder returned,
    divided by the sum of these norms over the terms. Costs one backward through the heads a term, on logging steps.
    """
    scalars: dict[str, Tensor | float] = {}
    for term, value in values.items():
        absent = step.absent.get(id(term.loss))  # not a loss of zero
        shown = value.detach() if absent is None else value.detach().masked_fill(absent, torch.nan)
        scalars[f"loss/{prefix}{term.name}"] = shown
        scalars[f"weighted/{prefix}{term.name}"] = weights[term] * value.detach()
        scalars[f"weight/{prefix}{term.name}"] = weights[term]
    scalars[f"loss/{prefix}total"] = torch.stack([weights[t] * v.detach() for t, v in values.items()]).sum()
    features = [*step.shared, *step.apart]
    norms = {term: gradient_norm(weights[term] * value, features) for term, value in values.items()}
    total = torch.stack(list(norms.values())).sum()
    for term, norm in norms.items():
        scalars[f"share/{prefix}{term.name}"] = norm / total.clamp_min(torch.finfo(norm.dtype).tiny)
    return scalars | step.reports


def gradient_norm(value: Tensor, features: list[Tensor]) -> Tensor:
    """Norm of the gradient of `value` at `features`; zero where it does not depend on them. The graph is kept."""
    learning = [f for f in features if f.requires_grad]
    if not value.requires_grad or not learning:
        return value.new_zeros(())
    grads = torch.autograd.grad(value, learning, retain_graph=True, allow_unused=True)
    squares = [g.float().square().sum() for g in grads if g is not None]
    return torch.stack(squares).sum().sqrt() if squares else value.new_zeros(())
