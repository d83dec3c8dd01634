"""How the gradients of several tasks agree."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Conflicts(nn.Module):
    """What is seen of the tasks' gradients at the features, on the logging steps.

    Args:
        tasks: their names.
        balanced: whether a balance weighs them.

    Buffers: sums over these steps of the gradients' norms, their cosines and their conflicts, and how often each pair
    was seen.
    """

    seen: Tensor
    norms: Tensor
    cosines: Tensor
    conflicts: Tensor

    def __init__(self, tasks: Sequence[str], *, balanced: bool = False):
        super().__init__()
        self.tasks, self.balanced, T = list(tasks), balanced, len(tasks)
        if T:
            self.register_buffer("seen", torch.zeros(T, T))
            self.register_buffer("norms", torch.zeros(T))
            self.register_buffer("cosines", torch.zeros(T, T))
            self.register_buffer("conflicts", torch.zeros(T, T))

    def watch(self, losses: Tensor, gram: Tensor) -> dict[str, Tensor | float]:
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
        """One sentence: was balancing worth anything? From the logging steps; "" where no task was seen.

        Weighing can help where gradients differ in length by a factor of more than 3, projecting where they conflict in
        more than a third of the pairs and their mean cosine is below -0.1, since it changes weights by about as much: rules of
        thumb, ours. The score against the plain sum decides.
        """
        if not self.tasks or self.seen.diagonal().sum() == 0:
            return ""
        norms = self.norms / self.seen.diagonal().clamp_min(1)
        norms = norms[norms > 0]
        ratio = (norms.max() / norms.min()).item() if len(norms) else math.nan
        other = ~torch.eye(len(self.tasks), dtype=torch.bool, device=self.seen.device)
        pairs = self.seen[other].sum().clamp_min(1)
        rate, cosine = (self.conflicts[other].sum() / pairs).item(), (self.cosines[other].sum() / pairs).item()
        facts = (
            f"at the features the tasks' gradients differ in length by a factor of {ratio:.2g} and conflict in {rate:.0%} "
            f"of the pairs (mean cosine {cosine:.2f})"
        )
        remedies = []
        if ratio > 3:
            remedies.append("a balance of lengths (imtl_g, nash_mtl, uncertainty)")
        if rate > 1 / 3 and cosine < -0.1:
            remedies.append("a projection (upgrad)")
        if not remedies:
            return f"{facts}: " + ("the plain sum would have done as well." if self.balanced else "nothing to balance.")
        return f"{facts}: {' or '.join(remedies)} may be worth it; compare with the plain sum."
