"""Gradients projected onto each other's normal planes."""

import numpy
import torch
from numpy import ndarray
from torch import Tensor, nn

from adapt.multitask._from_gramian import At, FromGramian
from adapt.randomness import keyed_seed


class PcGrad(nn.Module):
    r"""Gradient surgery: each gradient loses its components against the others, one by one in random order; then the sum.

    .. math:: g_i \leftarrow g_i - \min \Bigl( 0, \frac{\langle g_i, \nabla L_j \rangle}{\|\nabla L_j\|^2} \Bigr) \nabla L_j, \qquad j \ne i

    Args:
        at: where gradients are taken. At the features the sign of a conflict agrees with that at the parameters in about
            72 % of the cases, measured on a small network, so: ``"parameters"``.
        seed: the order depends on it and on the number of the call alone, the same on every rank.

    With two tasks the result conflicts with neither; with more it may, see :func:`upgrad`. Buffer, in the state_dict: `calls`.

    Yu et al., Gradient Surgery for Multi-Task Learning, 2020, https://arxiv.org/abs/2001.06782
    """

    calls: Tensor

    def __init__(self, *, at: At = "parameters", seed: int = 0):
        super().__init__()
        self._at = (at,)  # in a tuple: a module of the encoder is not ours to save
        self.seed = seed
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    @property
    def at(self) -> At:
        return self._at[0]

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(keyed_seed(self.seed, "pcgrad", int(self.calls)))
        self.calls += 1
        return FromGramian(lambda G: project(G, orders(len(G), generator)), self.at)(losses, gram)


def pcgrad(*, at: At = "parameters", seed: int = 0) -> PcGrad:
    """:class:`PcGrad`."""
    return PcGrad(at=at, seed=seed)


def orders(tasks: int, generator: torch.Generator) -> list[list[int]]:
    return [torch.randperm(tasks, generator=generator).tolist() for _ in range(tasks)]


def project(G: ndarray, orders: list[list[int]]) -> ndarray:
    """Row i of ``W`` holds the weights of the i-th projected gradient."""
    T = len(G)
    W = [[float(i == j) for j in range(T)] for i in range(T)]
    rows = G.tolist()  # a dot of eight numbers is faster in Python than a call into numpy
    for i, w in enumerate(W):
        for j in orders[i]:
            if j != i:
                along = sum(a * b for a, b in zip(rows[j], w, strict=True))
                w[j] -= min(0.0, along) / rows[j][j]
    return numpy.array(W).sum(0)
