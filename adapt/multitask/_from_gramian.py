"""Weights from the Gramian of the gradients of the tasks: the common part of all methods on the Gramian."""

from collections.abc import Callable

import numpy
import torch
from numpy import ndarray
from torch import Tensor, nn

from adapt.engine.description import call_text

At = str | nn.Module


class FromGramian:
    r"""A balance that reads the Gramian alone.

    Args:
        solve: from a Gramian, symmetric positive semidefinite float64 with diagonal of mean 1, to weights.
        at: where gradients are taken: ``"features"``, ``"parameters"`` or a module inside of the encoder.
        independent: whether linearly dependent gradients are moved apart by the bound of the rounding error. For a
            method without a bound on its weights: a combination of gradients that is 0 up to rounding would get a
            weight as large as the rounding error asks for.
        made_by: text of the call, shown by ``repr`` and in the settings of a run.

    An absent task, or a task with a vanishing gradient (a norm below 1e-10 of the largest norm), is left out of the
    equation: a finished task would otherwise hold up the other tasks (MGDA) or get an infinite weight (IMTL-G, Nash).
    The weight of a task left out is 1 and changes nothing. A common factor on all losses changes no weight.

    Solved on the host in float64: on a GPU the method waits for the T x T numbers of the Gramian.

    Raises:
        ValueError: an unknown `at`; in a call, no Gramian.
    """

    def __init__(
        self,
        solve: Callable[[ndarray], ndarray],
        at: At = "features",
        *,
        independent: bool = False,
        made_by: str | None = None,
    ):
        check_at(at)
        self.solve, self.at, self.independent = solve, at, independent
        self.made_by = made_by or call_text("FromGramian", solve=solve, at=at, independent=independent)

    def __repr__(self) -> str:
        return self.made_by

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if gram is None:
            raise ValueError(
                f"`gram` must be the ({len(losses)}, {len(losses)}) Gramian of the tasks' gradients, got None: "
                "give the balance to a trainer, or pass the Gramian."
            )
        present = [loss == loss for loss in losses.tolist()]  # NaN: absent
        w = self.weigh(gram.detach().double().cpu().numpy(), present, torch.finfo(gram.dtype).eps)
        return torch.from_numpy(w).to(losses)

    def weigh(self, G: ndarray, present: list[bool], rounding: float) -> ndarray:
        squares = [square if p else 0.0 for square, p in zip(G.diagonal().tolist(), present, strict=True)]
        live = [square > 1e-20 * max(squares) for square in squares]
        if all(live):
            return self.solve(without_noise((G + G.T) * (len(G) / 2 / sum(squares)), rounding, self.independent))
        w = numpy.ones(len(G))
        if any(live):
            w[live] = self.weigh(G[live][:, live], [True] * sum(live), rounding)
        return w


def check_at(at: At) -> None:
    if not isinstance(at, nn.Module) and at not in ("features", "parameters"):
        raise ValueError(f"`at` must be 'features', 'parameters' or a module of the encoder, got {at!r}.")


# LAPACK is called by its own names. Between two calls lies a step of the network, and the processor's cache has lost
# the code in between: each of numpy's functions then costs 20 to 100 microseconds instead of 1, and numpy's `linalg`
# costs twice as much as LAPACK alone.


def without_noise(G: ndarray, rounding: float, independent: bool = False) -> ndarray:
    """Return the Gramian without rounding noise: gradients that depend on each other linearly then do so exactly.

    Eigenvalues of the cosines below ten times tasks x `rounding` become 0. Such eigenvalues are noise of either sign,
    and the reciprocal of noise would fill most of a pseudo-inverse. With `independent` the eigenvalues become the bound
    instead. (Rounding moves the angle between opposite gradients to either side of 180 degrees. A solver then took a
    step of 1e10 times both gradients along their apparent difference.)
    """
    d, C = norms_and_cosines(G)
    noise = 10 * len(G) * rounding
    if definite(C, noise):  # a tenth of the time of eigenvalues
        return G
    values, vectors = eigh(C)
    return numpy.outer(d, d) * (vectors * numpy.where(values > noise, values, noise * independent) @ vectors.T)


def norms_and_cosines(G: ndarray) -> tuple[ndarray, ndarray]:
    """Return ``d`` and ``C`` with ``G = diag(d) C diag(d)``: norms may differ by many orders, cosines may not."""
    d = numpy.sqrt(G.diagonal())
    return d, G / d / d[:, None]


def definite(C: ndarray, least: float) -> bool:
    """Return whether all eigenvalues are above `least`."""
    from scipy.linalg import lapack  # at the first use: `import adapt` does not import scipy

    A = C.copy()
    A.flat[:: len(A) + 1] -= least
    return lapack.dpotrf(A)[1] == 0


def solve(A: ndarray, b: ndarray) -> ndarray:
    """Return the solution of linear equations with a symmetric, positive definite matrix."""
    from scipy.linalg import lapack

    return lapack.dposv(A, b)[1]


def eigh(A: ndarray) -> tuple[ndarray, ndarray]:
    """Return eigenvalues, rising, and eigenvectors."""
    from scipy.linalg import lapack

    return lapack.dsyevd(A)[:2]


def root(C: ndarray) -> ndarray:
    r"""Return ``B`` with :math:`B^\top B = C`: the columns are the gradients in T dimensions."""
    from scipy.linalg import lapack

    if definite(C, 1e-10):
        return lapack.dpotrf(C)[0]
    values, vectors = eigh(C)
    return numpy.sqrt(values.clip(0))[:, None] * vectors.T
