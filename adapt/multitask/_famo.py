"""Fast adaptive multitask optimisation."""

import torch
from torch import Tensor, nn

from adapt.multitask.task_weights import normalized, present


class Famo(nn.Module):
    r"""The task whose loss fell least, relatively, gets more weight: FAMO.

    .. math::
        w \propto z / L, \qquad z = \mathrm{softmax}(\xi), \qquad
        \xi \leftarrow \xi - \beta \, \mathrm{Adam} \Bigl( \nabla_\xi \sum_i z_i \, [\log L_i(t) - \log L_i(t + 1)] + \gamma \xi \Bigr)

    The paper evaluates the same batch again after the update, a second forward; here :math:`L(t + 1)` is the loss of the
    next batch, which costs nothing and adds the noise between batches; with accumulation, most of what is seen is that noise. Weights sum to the number of tasks.

    Args:
        rate: :math:`\beta`; 0.025 as in the authors' code.
        decay: :math:`\gamma`; 0.001 as in LibMTL.
        floor: losses below it count as it; losses must be positive. Ours.

    Buffers, in the state_dict: `logits`, `before` (logarithms of the last losses), `known` (which have one), Adam's `first`, `second` and `calls`. A task that is absent keeps
    its own.

    Liu et al., FAMO: Fast Adaptive Multitask Optimization, 2023, https://arxiv.org/abs/2306.03792
    """

    logits: Tensor
    before: Tensor
    known: Tensor
    first: Tensor
    second: Tensor
    calls: Tensor

    def __init__(self, *, rate: float = 0.025, decay: float = 1e-3, floor: float = 1e-8):
        super().__init__()
        self.rate, self.decay, self.floor = rate, decay, floor
        for name in ("logits", "before", "known", "first", "second", "calls"):
            self.register_buffer(name, None)

    def start(self, tasks: int) -> None:
        self.logits, self.before, self.first, self.second, self.calls = (torch.zeros(tasks) for _ in range(5))
        self.known = torch.zeros(tasks, dtype=torch.bool)

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if self.logits is None:
            self.start(len(losses))
        logs = losses.clamp_min(self.floor).log()
        self._learn(logs)
        there = present(losses)
        self.before, self.known = torch.where(there, logs, self.before).to(self.before.dtype), self.known | there
        return normalized(self.logits.softmax(0) / losses.clamp_min(self.floor), there)

    def _learn(self, logs: Tensor) -> None:
        """One step of Adam on the logits of the tasks that are in this batch and were in an earlier one."""
        there = self.known & present(logs)
        fell = torch.where(there, self.before - logs, 0.0)
        z = self.logits.softmax(0)
        slope = z * (fell - (z * fell).sum()) + self.decay * self.logits
        calls = self.calls + 1
        first, second = 0.9 * self.first + 0.1 * slope, 0.999 * self.second + 0.001 * slope.square()
        move = self.rate * (first / (1 - 0.9**calls)) / ((second / (1 - 0.999**calls)).sqrt() + 1e-8)
        new = {"logits": self.logits - move, "first": first, "second": second, "calls": calls}
        for name, value in new.items():
            old = getattr(self, name)
            setattr(self, name, torch.where(there, value, old).to(old.dtype))


def famo(*, rate: float = 0.025, decay: float = 1e-3, floor: float = 1e-8) -> Famo:
    """:class:`Famo`."""
    return Famo(rate=rate, decay=decay, floor=floor)
