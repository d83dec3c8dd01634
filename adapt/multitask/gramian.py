"""Weights from the Gramian of the tasks' gradients: what all of these methods share."""

from collections.abc import Callable

import numpy
import torch
from numpy import ndarray
from torch import Tensor, nn

At = str | nn.Module


class FromGramian:
    r"""A balancer that looks at the Gramian alone.

    Args:
        solve: from a Gramian, symmetric positive semidefinite float64 with diagonal of mean 1, to weights.
        at: where the gradients are taken: ``"features"``, ``"parameters"`` or a module inside of the encoder.

    Tasks that are absent or whose gradient vanishes (its norm below 1e-10 of the largest) sit out: a finished task would
    otherwise hold up the others (MGDA) or have an infinite weight (IMTL-G, Nash). Theirs is 1, and changes nothing. A common
    factor on all losses changes no weight.

    Solved on the host in float64: on a GPU the Gramian, T x T numbers, is waited for.

    Raises:
        ValueError: no Gramian.
    """

    def __init__(self, solve: Callable[[ndarray], ndarray], at: At):
        self.solve, self.at = solve, at

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if gram is None:
            raise ValueError(
                f"`gram` must be the ({len(losses)}, {len(losses)}) Gramian of the tasks' gradients, got None."
            )
        G = gram.detach().double().cpu().numpy()
        there = ~losses.isnan().cpu().numpy()
        return torch.from_numpy(self.weigh(G, there, torch.finfo(gram.dtype).eps)).to(losses)

    def weigh(self, G: ndarray, there: ndarray, rounding: float) -> ndarray:
        squares = numpy.where(there, numpy.diagonal(G), 0.0)
        live = squares > 1e-20 * squares.max(initial=0.0)
        w = numpy.ones(len(G))
        if live.any():
            G = G[numpy.ix_(live, live)] / squares[live].mean()
            w[live] = self.solve(without_noise((G + G.T) / 2, rounding))
        return w


def without_noise(G: ndarray, rounding: float) -> ndarray:
    """The Gramian without what the rounding of its entries adds: gradients that depend on each other linearly do so exactly.

    Eigenvalues of the cosines below ten times tasks x `rounding` become 0. They are noise of either sign, and one over it would be most of
    a pseudo-inverse.
    """
    d, C = norms_and_cosines(G)
    noise = 10 * len(G) * rounding
    try:
        numpy.linalg.cholesky(C - noise * numpy.eye(len(G)))  # ten times as fast as eigenvalues
        return G
    except numpy.linalg.LinAlgError:
        values, vectors = numpy.linalg.eigh(C)
        return numpy.outer(d, d) * (vectors * numpy.where(values > noise, values, 0.0) @ vectors.T)


def norms_and_cosines(G: ndarray) -> tuple[ndarray, ndarray]:
    """``d`` and ``C`` with ``G = diag(d) C diag(d)``: the norms may differ by many orders, the cosines are tame."""
    d = numpy.sqrt(numpy.diagonal(G))
    return d, G / numpy.outer(d, d)


def root(G: ndarray) -> ndarray:
    r"""``B`` with :math:`B^\top B = G`: its columns are the gradients in T dimensions."""
    d, C = norms_and_cosines(G)
    values, vectors = numpy.linalg.eigh(C)
    return numpy.sqrt(values.clip(0))[:, None] * vectors.T * d
