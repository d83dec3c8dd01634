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
        independent: dependent gradients are moved apart by what rounding may hide. For a method whose weights have no bound: a combination
            of gradients that is 0 but for rounding would get as much weight as that rounding asks for.

    Tasks that are absent or whose gradient vanishes (its norm below 1e-10 of the largest) sit out: a finished task would
    otherwise hold up the others (MGDA) or have an infinite weight (IMTL-G, Nash). Theirs is 1, and changes nothing. A common
    factor on all losses changes no weight.

    Solved on the host in float64: on a GPU the Gramian, T x T numbers, is waited for.

    Raises:
        ValueError: no Gramian.
    """

    def __init__(self, solve: Callable[[ndarray], ndarray], at: At, *, independent: bool = False):
        self.solve, self.at, self.independent = solve, at, independent

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if gram is None:
            raise ValueError(
                f"`gram` must be the ({len(losses)}, {len(losses)}) Gramian of the tasks' gradients, got None."
            )
        there = [loss == loss for loss in losses.tolist()]  # NaN: absent
        w = self.weigh(gram.detach().double().cpu().numpy(), there, torch.finfo(gram.dtype).eps)
        return torch.from_numpy(w).to(losses)

    def weigh(self, G: ndarray, there: list[bool], rounding: float) -> ndarray:
        squares = [square if t else 0.0 for square, t in zip(G.diagonal().tolist(), there, strict=True)]
        live = [square > 1e-20 * max(squares) for square in squares]
        if all(live):
            return self.solve(without_noise((G + G.T) * (len(G) / 2 / sum(squares)), rounding, self.independent))
        w = numpy.ones(len(G))
        if any(live):
            w[live] = self.weigh(G[live][:, live], [True] * sum(live), rounding)
        return w


# LAPACK is called by its own names. Between two calls lies a step of the network, and what is no longer in the processor's cache is slow: of
# numpy's functions each costs 20 to 100 microseconds then instead of 1, its `linalg` twice as much as LAPACK alone.


def without_noise(G: ndarray, rounding: float, independent: bool = False) -> ndarray:
    """The Gramian without what the rounding of its entries adds: gradients that depend on each other linearly do so exactly.

    Eigenvalues of the cosines below ten times tasks x `rounding` become 0. They are noise of either sign, and one over it would be most of
    a pseudo-inverse. With `independent` they become that bound. (The angle between opposite gradients is rounded to either side of 180 degrees,
    and 1e10 times both was then a step along what they seemed to differ by.)
    """
    d, C = norms_and_cosines(G)
    noise = 10 * len(G) * rounding
    if definite(C, noise):  # a tenth of the time of eigenvalues
        return G
    values, vectors = eigh(C)
    return numpy.outer(d, d) * (vectors * numpy.where(values > noise, values, noise * independent) @ vectors.T)


def norms_and_cosines(G: ndarray) -> tuple[ndarray, ndarray]:
    """``d`` and ``C`` with ``G = diag(d) C diag(d)``: the norms may differ by many orders, the cosines are tame."""
    d = numpy.sqrt(G.diagonal())
    return d, G / d / d[:, None]


def definite(C: ndarray, least: float) -> bool:
    """Whether all eigenvalues are above `least`."""
    from scipy.linalg import lapack  # when it is used: `import adapt` does not import scipy

    A = C.copy()
    A.flat[:: len(A) + 1] -= least
    return lapack.dpotrf(A)[1] == 0


def solve(A: ndarray, b: ndarray) -> ndarray:
    """Of linear equations with a symmetric, positive definite matrix."""
    from scipy.linalg import lapack

    return lapack.dposv(A, b)[1]


def eigh(A: ndarray) -> tuple[ndarray, ndarray]:
    """Eigenvalues, rising, and eigenvectors."""
    from scipy.linalg import lapack

    return lapack.dsyevd(A)[:2]


def root(C: ndarray) -> ndarray:
    r"""``B`` with :math:`B^\top B = C`: its columns are the gradients in T dimensions."""
    from scipy.linalg import lapack

    if definite(C, 1e-10):
        return lapack.dpotrf(C)[0]
    values, vectors = eigh(C)
    return numpy.sqrt(values.clip(0))[:, None] * vectors.T
