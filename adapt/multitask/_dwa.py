"""Dynamic weight average."""

import torch
from torch import Tensor, nn

from adapt.engine.description import call_text
from adapt.multitask.task_weights import present, shares
from losses.options import COUNT, POSITIVE, check


def dwa(*, window: int = 100, temperature: float = 2.0) -> "Dwa":
    r"""Return dynamic weight average: more weight for the losses with a slow fall.

    .. math:: w = T \, \mathrm{softmax}(r / \tau), \qquad r_i = \bar L_i(t - 1) / \bar L_i(t - 2)

    with :math:`\bar L_i(t)` the mean of the loss over window t. The weights are 1 in the first two windows.

    Args:
        window: calls per window; the paper has epochs. The default of 100 is our choice.
        temperature: :math:`\tau`; 2 as in the paper.

    Buffers, in the state_dict: `means` ``(2, tasks)`` of the last two windows, `sums` and `counts` of the current
    window, `calls`.

    With two tasks the weights stay near 1 unless the ratios differ by more than the temperature.

    Raises:
        ValueError: an option that is not positive.

    Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, 2019, https://arxiv.org/abs/1803.10704
    """
    return Dwa(window, temperature)


class Dwa(nn.Module):
    """The balance of :func:`dwa`."""

    means: Tensor
    sums: Tensor
    counts: Tensor
    calls: Tensor

    def __init__(self, window: int, temperature: float):
        super().__init__()
        check(COUNT, window=window)
        check(POSITIVE, temperature=temperature)
        self.window, self.temperature = window, temperature
        self.made_by = call_text("dwa", window=window, temperature=temperature)
        for name in ("means", "sums", "counts"):
            self.register_buffer(name, None)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def __repr__(self) -> str:
        return self.made_by

    def start(self, tasks: int) -> None:
        self.means = torch.zeros(2, tasks)  # older, newer; 0 is "not yet"
        self.sums, self.counts = torch.zeros(tasks), torch.zeros(tasks)

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if self.means is None:
            self.start(len(losses))
        in_batch = present(losses)
        older, newer = self.means.to(losses.device)
        weights = shares((newer / older).nan_to_num(1.0, 1.0, 1.0) / self.temperature, in_batch).to(losses.dtype)
        self.sums = self.sums.to(losses.device) + losses.nan_to_num().to(self.sums.dtype)
        self.counts = self.counts.to(losses.device) + in_batch
        self.calls += 1
        # the host does not read the counter: a mask closes the window
        closed = self.calls.to(losses.device) % self.window == 0
        mean = torch.where(self.counts > 0, self.sums / self.counts, newer)  # an absent task keeps its last mean
        self.means = torch.where(closed, torch.stack([newer, mean]), torch.stack([older, newer]))
        self.sums, self.counts = (torch.where(closed, 0.0, x) for x in (self.sums, self.counts))
        return weights
