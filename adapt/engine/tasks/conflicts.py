"""How the gradients of several tasks agree."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LEAST_STEPS = 10  # with fewer logged steps, the mean of a few noisy cosines decides: our choice


class Conflicts(nn.Module):
    """Sums up how the gradients of tasks agree at the features, over the logging steps.

    Args:
        tasks: names of the tasks.
        balanced: whether a balance weighs the tasks.

    Buffers: sums over the logging steps of norms, cosines and conflicts (negative cosines), and the number of steps
    with both tasks of each pair.
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
        """Return norms, cosines and conflicts at the features of a step, and add to the sums."""
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
        """Return ``(tasks, tasks)`` mean cosines of gradients at the features, over the logging steps; NaN for a pair
        without any common step. Tasks with common gradients are near 1, tasks on different rows are exactly 0.
        """
        return torch.where(self.seen > 0, self.cosines / self.seen, torch.nan)

    def verdict(self) -> str:
        """Return a sentence on whether balancing was worth the cost, from the logging steps; "" where no task was
        present.

        The sentence says the number of logging steps, and gives no advice from fewer than 10.

        A balance of lengths can help where gradients differ in length by a factor of more than 3. A projection can help
        where gradients conflict in more than a third of the pairs and the mean cosine is below -0.1: a projection
        changes weights by about the size of the mean cosine. The three bounds are our choice. The score against the
        plain sum decides.
        """
        if not self.tasks or self.seen.diagonal().sum() == 0:
            return ""
        steps = int(self.seen.diagonal().max())
        norms = self.norms / self.seen.diagonal().clamp_min(1)
        norms = norms[norms > 0]
        ratio = (norms.max() / norms.min()).item() if len(norms) else math.nan
        other = ~torch.eye(len(self.tasks), dtype=torch.bool, device=self.seen.device)
        pairs = self.seen[other].sum().clamp_min(1)
        rate, cosine = (self.conflicts[other].sum() / pairs).item(), (self.cosines[other].sum() / pairs).item()
        facts = (
            f"in {steps} logged step{'s' * (steps > 1)}, at the features, the tasks' gradients differ in length by a "
            f"factor of {ratio:.2g} and conflict in {rate:.0%} of the pairs (mean cosine {cosine:.2f})"
        )
        if steps < LEAST_STEPS:
            return f"{facts}: too few steps for advice; log more often (`log_every`), or train longer."
        remedies = []
        if ratio > 3:
            remedies.append("a balance of lengths (imtl_g, nash_mtl, uncertainty)")
        if rate > 1 / 3 and cosine < -0.1:
            remedies.append("a projection (upgrad)")
        if not remedies:
            return f"{facts}: " + ("the plain sum would have done as well." if self.balanced else "nothing to balance.")
        return f"{facts}: {' or '.join(remedies)} may be worth it; compare with the plain sum."
