"""Random weights."""

import torch
from torch import Tensor, nn

from adapt.engine.description import call_text
from adapt.multitask.task_weights import present, shares
from adapt.randomness import keyed_seed
from losses.options import FROM_0, check


def rlw(*, seed: int = 0) -> "Rlw":
    r"""Return random loss weighting: the control in a comparison of balancers.

    .. math:: w = T \, \mathrm{softmax}(z), \qquad z \sim \mathcal N(0, I)

    Args:
        seed: the draw depends on the seed and on the number of the call alone, the same on every rank.

    Buffer, in the state_dict: `calls`. Reading the buffer is a host synchronisation on a GPU.

    Lin et al., Reasonable Effectiveness of Random Weighting, 2022, https://arxiv.org/abs/2111.10603
    """
    return Rlw(seed)


class Rlw(nn.Module):
    """The balance of :func:`rlw`."""

    calls: Tensor

    def __init__(self, seed: int):
        super().__init__()
        check(FROM_0, seed=seed)
        self.seed, self.made_by = seed, call_text("rlw", seed=seed)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def __repr__(self) -> str:
        return self.made_by

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(keyed_seed(self.seed, "rlw", int(self.calls)))
        self.calls += 1
        return shares(torch.randn(len(losses), generator=generator).to(losses), present(losses))
