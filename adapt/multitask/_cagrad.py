"""Conflict-averse descent."""

import math

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, norms_and_cosines
from adapt.multitask._mgda import shortest
from losses.options import AT_LEAST_0, check


def cagrad(*, radius: float = 0.5, at: At = "parameters") -> FromGramian:
    r"""Return CAGrad: the direction near the mean gradient with the largest gain for the worst task.

    .. math::
        \max_d \min_i \langle \nabla L_i, d \rangle \quad \text{s.t.} \quad \|d - g_0\| \le c \|g_0\|, \qquad
        g_0 = \tfrac1T \sum_i \nabla L_i

    by its dual on the simplex, :math:`\min_w \langle g_w, g_0 \rangle + c \|g_0\| \|g_w\|`; then
    :math:`d = g_0 + c \|g_0\| g_w / \|g_w\|`. The balance returns T times d.

    Args:
        radius: c; 0 is the mean, and a larger radius is nearer to MGDA. The paper has 0.4 and 0.5 in most of its
            experiments.
        at: where gradients are taken; see :func:`adapt.multitask.pcgrad`.

    Raises:
        ValueError: a negative radius or an unknown `at`.

    Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, 2021, https://arxiv.org/abs/2110.14048
    """
    check(AT_LEAST_0, radius=radius)
    made_by = call_text("cagrad", radius=radius, at=at)
    return FromGramian(lambda G: len(G) * combine(G, radius), at, independent=True, made_by=made_by)


def combine(G: ndarray, c: float) -> ndarray:
    r"""Return the weights of d.

    The shortest step from :math:`g_0` with a gain of :math:`\nu` for every task is a combination :math:`g_y`,
    :math:`y \ge 0`. The length of the step is convex in :math:`\nu`, with slope :math:`1^\top y / \|g_y\|`: Newton's
    method from above finds the :math:`\nu` where the length is the radius. Solved for unit gradients, in units of the
    radius. Where the gradients cancel, no task gains, and no task needs to lose.
    """
    d, C = norms_and_cosines(G)
    T = len(G)
    along = C @ d / T  # the product of g_0 with each unit gradient
    reach = c * math.sqrt(max(d @ along, 0.0) / T)
    if reach <= 1e-7 * max(d):  # rounding
        return numpy.full(T, 1 / T)
    along /= reach
    gain = min(d * (along + 1))  # the largest possible gain of the worst task
    for _ in range(100):
        h = gain / d - along
        v = shortest(C, h)
        rest = min(max(1 - h @ v, 1e-15), 1.0)
        if rest < 1e-12 and gain > 0:  # no direction is a gain for all
            gain = 0.0
            continue
        y, length = v / rest, math.sqrt((1 - rest) / rest)
        if length <= 1 + 1e-10:
            break
        gain -= (length - 1) * length / sum(y / d)
    return 1 / T + reach * y / d
