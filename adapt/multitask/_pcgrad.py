"""Gradients projected onto each other's normal planes."""

import numpy
import torch
from numpy import ndarray
from torch import Tensor, nn

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, check_at
from adapt.randomness import keyed_seed
from losses.options import FROM_0, check


def pcgrad(*, at: At = "parameters", seed: int = 0) -> "PcGrad":
    r"""Return gradient surgery: the sum of the gradients after each lost its components against the others.

    .. math::
        g_i \leftarrow g_i - \min \Bigl( 0, \frac{\langle g_i, \nabla L_j \rangle}{\|\nabla L_j\|^2} \Bigr) \nabla L_j,
        \qquad j \ne i

    one j after the other, in random order.

    Args:
        at: where gradients are taken. The sign of a conflict at the features agrees with the sign at the parameters in
            about 72 % of the cases, measured on a small network; hence the default ``"parameters"``.
        seed: the order depends on the seed and on the number of the call alone, the same on every rank.

    With two tasks the result conflicts with neither task; with more tasks the result may conflict, see :func:`upgrad`.
    Buffer, in the state_dict: `calls`.

    Raises:
        ValueError: an unknown `at`.

    Yu et al., Gradient Surgery for Multi-Task Learning, 2020, https://arxiv.org/abs/2001.06782
    """
    return PcGrad(at, seed)


class PcGrad(nn.Module):
    """The balance of :func:`pcgrad`."""

    calls: Tensor

    def __init__(self, at: At, seed: int):
        super().__init__()
        check_at(at)
        check(FROM_0, seed=seed)
        self._at = (at,)  # in a tuple: the encoder saves its own module
        self.seed, self.made_by = seed, call_text("pcgrad", at=at, seed=seed)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def __repr__(self) -> str:
        return self.made_by

    @property
    def at(self) -> At:
        return self._at[0]

    def forward(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(keyed_seed(self.seed, "pcgrad", int(self.calls)))
        self.calls += 1
        surgery = FromGramian(lambda G: project(G, orders(len(G), generator)), self.at, made_by=self.made_by)
        return surgery(losses, gram)


def orders(tasks: int, generator: torch.Generator) -> list[list[int]]:
    return [torch.randperm(tasks, generator=generator).tolist() for _ in range(tasks)]


def project(G: ndarray, orders: list[list[int]]) -> ndarray:
    """Return the weights of the sum; row i of ``W`` holds the weights of the i-th projected gradient."""
    T = len(G)
    W = [[float(i == j) for j in range(T)] for i in range(T)]
    rows = G.tolist()  # a dot of eight numbers is faster in Python than a call into numpy
    for i, w in enumerate(W):
        for j in orders[i]:
            if j != i:
                along = sum(a * b for a, b in zip(rows[j], w, strict=True))
                w[j] -= min(0.0, along) / rows[j][j]
    return numpy.array(W).sum(0)
