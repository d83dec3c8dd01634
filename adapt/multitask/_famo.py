"""Fast adaptive multitask optimisation."""

import torch
from torch import Tensor, nn

from adapt.engine.description import call_text
from adapt.multitask.task_weights import normalized, present
from losses.options import AT_LEAST_0, POSITIVE, check


def famo(*, rate: float = 0.025, decay: float = 1e-3, floor: float = 1e-8) -> "Famo":
    r"""Return FAMO: more weight for the task with the smallest relative fall of the loss.

    .. math::
        w \propto z / L, \qquad z = \mathrm{softmax}(\xi), \qquad
        \xi \leftarrow \xi - \beta \, \mathrm{Adam} \Bigl(
        \nabla_\xi \sum_i z_i \, [\log L_i(t) - \log L_i(t + 1)] + \gamma \xi \Bigr)

    The paper evaluates the same batch again after the update, with a second forward pass. Here :math:`L(t + 1)` is the
    loss of the next batch: a second pass is saved, and the noise between batches is added. With accumulation most of
    the difference is noise. The weights sum to the number of tasks.

    Args:
        rate: :math:`\beta`; 0.025 as in the authors' code.
        decay: :math:`\gamma`; 0.001 as in LibMTL.
        floor: smaller losses count as `floor`; losses must be positive. The default is our choice.

    Buffers, in the state_dict: `logits`, `before` (logarithms of the last losses), `known` (whether a task has a last
    loss), and `first`, `second` and `calls` of Adam. An absent task keeps its entries.

    Raises:
        ValueError: a rate or floor that is not positive, or a negative decay.

    Liu et al., FAMO: Fast Adaptive Multitask Optimization, 2023, https://arxiv.org/abs/2306.03792
    """
    return Famo(rate, decay, floor)


class Famo(nn.Module):
    """The balance of :func:`famo`."""

    logits: Tensor
    before: Tensor
    known: Tensor
    first: Tensor
    second: Tensor
    calls: Tensor

    def __init__(self, rate: float, decay: float, floor: float):
        super().__init__()
        check(POSITIVE, rate=rate, floor=floor)
        check(AT_LEAST_0, decay=decay)
        self.rate, self.decay, self.floor = rate, decay, floor
        self.made_by = call_text("famo", rate=rate, decay=decay, floor=floor)
        for name in ("logits", "before", "known", "first", "second", "calls"):
            self.register_buffer(name, None)

    def __repr__(self) -> str:
        return self.made_by

    def start(self, tasks: int) -> None:
        self.logits, self.before, self.first, self.second, self.calls = (torch.zeros(tasks) for _ in range(5))
        self.known = torch.zeros(tasks, dtype=torch.bool)

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if self.logits is None:
            self.start(len(losses))
        logs = losses.clamp_min(self.floor).log()
        self._learn(logs)
        in_batch = present(losses)
        self.before, self.known = replaced(self.before, logs, in_batch), self.known | in_batch
        return normalized(self.logits.softmax(0) / losses.clamp_min(self.floor), in_batch)

    def _learn(self, logs: Tensor) -> None:
        """Take one step of Adam on the logits of the tasks of this batch with a loss from an earlier batch."""
        learning = self.known & present(logs)
        fell = torch.where(learning, self.before - logs, 0.0)
        z = self.logits.softmax(0)
        slope = z * (fell - (z * fell).sum()) + self.decay * self.logits
        calls = self.calls + 1
        first, second = 0.9 * self.first + 0.1 * slope, 0.999 * self.second + 0.001 * slope.square()
        move = self.rate * (first / (1 - 0.9**calls)) / ((second / (1 - 0.999**calls)).sqrt() + 1e-8)
        self.logits = replaced(self.logits, self.logits - move, learning)
        self.first, self.second = replaced(self.first, first, learning), replaced(self.second, second, learning)
        self.calls = replaced(self.calls, calls, learning)


def replaced(old: Tensor, new: Tensor, where: Tensor) -> Tensor:
    """Return `old` with the entries of `new` at `where`, in the precision of `old`."""
    return torch.where(where, new, old).to(old.dtype)
