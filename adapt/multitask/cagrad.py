"""Conflict-averse descent."""

import math

import numpy
from numpy import ndarray

from adapt.multitask.gramian import At, FromGramian, norms_and_cosines, root, solve


def cagrad(radius: float = 0.5, *, at: At = "parameters") -> FromGramian:
    r"""The direction near the mean gradient that does best for the task it serves worst: CAGrad.

    .. math:: \max_d \min_i \langle \nabla L_i, d \rangle \quad \text{s.t.} \quad \|d - g_0\| \le c \|g_0\|, \qquad g_0 = \tfrac1T \sum_i \nabla L_i

    by its dual on the simplex, :math:`\min_w \langle g_w, g_0 \rangle + c \|g_0\| \|g_w\|`; then
    :math:`d = g_0 + c \|g_0\| g_w / \|g_w\|`, here T times that.

    Args:
        radius: c; 0 is the mean, and the larger it is the nearer it comes to MGDA. The paper has 0.4 and 0.5 in most of its experiments.
        at: where gradients are taken; see :func:`adapt.multitask.pcgrad`.

    Raises:
        ValueError: a negative radius.

    Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, 2021, https://arxiv.org/abs/2110.14048
    """
    if radius < 0:
        raise ValueError(f"`radius` must not be negative, got {radius}.")
    return FromGramian(lambda G: len(G) * combine(G, radius), at)


def combine(G: ndarray, c: float) -> ndarray:
    r"""Weights of d.

    Let :math:`y(\nu)` be the shortest step from :math:`g_0` after which every task gains :math:`\nu`: non-negative combinations of the
    gradients, by duality. Its length is convex in :math:`\nu`, with slope :math:`1^\top y / \|g_y\|`, so Newton's method that starts
    above the solution falls onto the :math:`\nu` where the length is the radius. Solved for unit gradients.
    """
    from scipy.optimize import nnls  # when it is used: `import adapt` does not import scipy

    d, C = norms_and_cosines(G)
    T, B = len(G), root(C)
    g0 = B @ d / T
    reach = c * math.sqrt(g0 @ g0)
    if reach <= 1e-12 * d.max():
        return numpy.full(T, 1 / T)
    up = B @ solve(B.T @ B, 1 / d)  # lifts every gain by 1
    gain = (d * (g0 @ B + reach)).min()  # of the worst task, at best
    for _ in range(100):
        y = nnls(B, gain * up - g0, maxiter=100 * T)[0]
        g = B @ y
        length = math.sqrt(g @ g)
        if length <= reach * (1 + 1e-12):
            break
        gain -= (length - reach) * length / (y / d).sum()
    if y @ C @ y < 0.999 * reach**2:  # the gradients cancel: nothing to gain beyond the mean
        return numpy.full(T, 1 / T)
    return 1 / T + y / d
