"""Conflict-averse descent."""

import numpy
from numpy import ndarray

from adapt.multitask.gramian import At, FromGramian, root
from adapt.multitask.mgda import least_norm


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

    With :math:`\|g_w\| = \min_\tau (\|g_w\|^2 / \tau + \tau) / 2` the dual is, for a given :math:`\tau`, the point of least norm
    between the gradients shifted by :math:`\tau g_0 / (c \|g_0\|)`; and :math:`\tau` is where the length of :math:`g_w` is it.
    """
    from scipy.optimize import brentq  # when it is used: `import adapt` does not import scipy

    B, T = root(G), len(G)
    g0 = B.mean(1)
    reach = c * numpy.linalg.norm(g0)
    longest = numpy.linalg.norm(B, axis=0).max()
    if reach <= 1e-12 * longest:
        return numpy.full(T, 1 / T)

    def optimum(tau: float) -> ndarray:
        return least_norm(B + tau / reach * g0[:, None])

    def excess(tau: float) -> float:
        return float(numpy.linalg.norm(B @ optimum(tau)) - tau)

    shortest = 1e-8 * longest
    if excess(shortest) <= 0:  # the gradients cancel: nothing to gain beyond the mean
        return numpy.full(T, 1 / T)
    tau = brentq(excess, shortest, 2 * longest, xtol=1e-12 * longest, rtol=1e-12)
    w = optimum(tau)
    return 1 / T + reach / numpy.linalg.norm(B @ w) * w
