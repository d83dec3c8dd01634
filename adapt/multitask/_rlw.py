"""Random weights."""

import torch
from torch import Tensor, nn

from adapt.multitask.task_weights import present, shares
from adapt.randomness import keyed_seed


class Rlw(nn.Module):
    r"""Random loss weighting: the control that a comparison of balancers needs.

    .. math:: w = T \, \mathrm{softmax}(z), \qquad z \sim \mathcal N(0, I)

    Args:
        seed: the draw depends on it and on the number of the call alone, the same on every rank.

    Buffer, in the state_dict: `calls`. Reading it is a host synchronisation on a GPU.

    Lin et al., Reasonable Effectiveness of Random Weighting, 2022, https://arxiv.org/abs/2111.10603
    """

    calls: Tensor

    def __init__(self, *, seed: int = 0):
        super().__init__()
        self.seed = seed
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(keyed_seed(self.seed, "rlw", int(self.calls)))
        self.calls += 1
        return shares(torch.randn(len(losses), generator=generator).to(losses), present(losses))


def rlw(*, seed: int = 0) -> Rlw:
    """:class:`Rlw`."""
    return Rlw(seed=seed)
