"""Dynamic weight average."""

import torch
from torch import Tensor, nn

from adapt.multitask.task_weights import present, shares


class Dwa(nn.Module):
    r"""More weight to the losses that fall more slowly.

    .. math:: w = T \, \mathrm{softmax}(r / \tau), \qquad r_i = \bar L_i(t - 1) / \bar L_i(t - 2)

    with :math:`\bar L_i(t)` the mean of the loss over window t. Weights of 1 in the first two windows.

    Args:
        window: calls a window; the paper has epochs. 100, ours.
        temperature: :math:`\tau`; 2 as in the paper.

    Buffers, in the state_dict: `means` ``(2, tasks)`` of the last two windows, `sums` and `counts` of this one, `calls`.

    With two tasks the weights stay near 1 unless the ratios differ by more than the temperature.

    Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, 2019, https://arxiv.org/abs/1803.10704
    """

    means: Tensor
    sums: Tensor
    counts: Tensor
    calls: Tensor

    def __init__(self, *, window: int = 100, temperature: float = 2.0):
        super().__init__()
        if window < 1 or not temperature > 0:
            raise ValueError(f"`window` and `temperature` must be positive, got {window} and {temperature}.")
        self.window, self.temperature = window, temperature
        for name in ("means", "sums", "counts"):
            self.register_buffer(name, None)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def start(self, tasks: int) -> None:
        self.means = torch.zeros(2, tasks)  # older, newer; 0 is "not yet"
        self.sums, self.counts = torch.zeros(tasks), torch.zeros(tasks)

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if self.means is None:
            self.start(len(losses))
        there = present(losses)
        older, newer = self.means.to(losses.device)
        weights = shares((newer / older).nan_to_num(1.0, 1.0, 1.0) / self.temperature, there).to(losses.dtype)
        self.sums = self.sums.to(losses.device) + losses.nan_to_num().to(self.sums.dtype)
        self.counts = self.counts.to(losses.device) + there
        self.calls += 1
        # without a look at the counter from the host: the window is closed by a mask
        closed = self.calls.to(losses.device) % self.window == 0
        mean = torch.where(self.counts > 0, self.sums / self.counts, newer)  # an absent task keeps its last
        self.means = torch.where(closed, torch.stack([newer, mean]), torch.stack([older, newer]))
        self.sums, self.counts = (torch.where(closed, 0.0, x) for x in (self.sums, self.counts))
        return weights


def dwa(*, window: int = 100, temperature: float = 2.0) -> Dwa:
    """:class:`Dwa`."""
    return Dwa(window=window, temperature=temperature)
