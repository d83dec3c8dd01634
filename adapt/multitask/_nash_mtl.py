"""Bargaining between tasks."""

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, norms_and_cosines, solve
from losses.options import POSITIVE, check


def nash_mtl(*, at: At = "features") -> FromGramian:
    r"""Return the Nash bargaining solution: the direction with the largest product of gains.

    .. math:: G w = 1 / w, \qquad w > 0

    Args:
        at: where gradients are taken.

    Invariant to the scale of each loss. Every task gains the same, :math:`w_i \langle \nabla L_i, d \rangle = 1`, so
    the length of the direction is always :math:`\sqrt T` times the root mean square of the gradients' norms (the
    length in the paper is :math:`\sqrt T`). Near a Pareto-stationary point no solution exists and weights would grow
    without end: the largest weight is 100 times the weight for orthogonal gradients.

    Raises:
        ValueError: an unknown `at`.

    Navon et al., Multi-Task Learning as a Bargaining Game, 2022, https://arxiv.org/abs/2202.01017
    """
    return FromGramian(lambda G: bargain(G, 1.0), at, made_by=call_text("nash_mtl", at=at))


def fairgrad(*, alpha: float = 2.0, at: At = "features") -> FromGramian:
    r"""Return FairGrad: alpha-fair gains of the tasks.

    .. math:: G w = w^{-1/\alpha}, \qquad w > 0

    Args:
        alpha: 1 is :func:`nash_mtl`; towards 0 the sum, towards infinity the largest smallest gain. 2 is the choice of
            the authors' code for most of their experiments.
        at: where gradients are taken.

    Raises:
        ValueError: an `alpha` that is not positive, or an unknown `at`.

    Ban and Ji, Fair Resource Allocation in Multi-Task Learning, 2024, https://arxiv.org/abs/2402.15638
    """
    check(POSITIVE, alpha=alpha)
    return FromGramian(lambda G: bargain(G, alpha), at, made_by=call_text("fairgrad", alpha=alpha, at=at))


def bargain(G: ndarray, alpha: float, *, largest: float = 100.0) -> ndarray:
    r"""Return the positive solution of :math:`G w = w^{-p}`, :math:`p = 1/\alpha`.

    Norms are divided out first. With :math:`w = d^{-2/(1+p)} v`, :math:`e = d^{(p-1)/(p+1)}` and the cosines C the
    equation is

    .. math:: A v = e^2 v^{-p}, \qquad A = \mathrm{diag}(e) \, C \, \mathrm{diag}(e)

    with the solution :math:`v = 1` for orthogonal gradients: the stationary point of the strictly convex
    :math:`\tfrac12 v^\top A v - \sum_i e_i^2 \phi(v_i)` with :math:`\phi' = v^{-p}`. Newton's method in relative steps,
    5 to 6 steps, and hundreds for an alpha of 100. Each step is halved until the slope along the step is not much
    steeper than before. The method ends where the equation holds to 1e-10, or to the rounding of A v, a coarser bound
    where gradients cancel.
    """
    p, one = 1 / alpha, numpy.eye(len(G))
    d, C = norms_and_cosines(G)
    e = d ** ((p - 1) / (p + 1))
    A = e * (C + 1e-11 * one) * e[:, None]
    rounding = 1e-15 * abs(A)

    def slopes(v: ndarray) -> tuple[ndarray, ndarray]:
        gain = e * e * v ** (1 - p)
        return v * (A @ v) - gain, gain

    v = numpy.ones(len(G))
    slope, gain = slopes(v)
    for _ in range(1000):
        if max((abs(slope) - v * (rounding @ v)) / gain) < 1e-10:
            break
        u = -solve(v * A * v[:, None] + p * gain * one, slope)
        t = min(1.0, 0.95 / max(-min(u), 1e-300))  # v stays positive
        start = slope @ u
        slope, gain = slopes(v * (1 + t * u))
        while slope @ (u / (1 + t * u)) > -0.5 * start and t > 1e-10:
            t /= 2
            slope, gain = slopes(v * (1 + t * u))
        v = v * (1 + t * u)
    return v * min(1.0, largest / max(v)) * d ** (-2 / (1 + p))
