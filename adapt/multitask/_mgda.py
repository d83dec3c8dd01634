"""The point of least norm between the gradients."""

import numpy
from numpy import ndarray

from adapt.multitask._from_gramian import At, FromGramian, definite, norms_and_cosines, root, solve


def mgda(*, at: At = "features") -> FromGramian:
    r"""The direction that descends on all tasks and is shortest: MGDA.

    .. math:: w = T \arg\min_{w \in \Delta} \Bigl\| \sum_i w_i \nabla L_i \Bigr\|^2

    Args:
        at: ``"features"`` is the upper bound of Sener and Koltun, MGDA-UB.

    It follows the task with the smallest gradient, which is why it is no default here. At a Pareto-stationary point the
    direction is zero.

    Désidéri, 2012, https://doi.org/10.1016/j.crma.2012.03.014; Sener and Koltun, Multi-Task Learning as Multi-Objective
    Optimization, 2018, https://arxiv.org/abs/1810.04650

    >>> mgda()(torch.ones(2), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([1.5000, 0.5000])
    """
    return FromGramian(lambda G: len(G) * least_norm(G), at)


def least_norm(G: ndarray) -> ndarray:
    r"""Weights on the simplex of the shortest combination, exactly: those of the shortest vector whose product with each gradient is 1."""
    d, C = norms_and_cosines(G)
    v = shortest(C, min(d) / d) / d
    return v / sum(v)


def shortest(C: ndarray, h: ndarray) -> ndarray:
    r"""Of the shortest z whose product with each of several unit vectors is at least h, weights :math:`v \ge 0`: z is a multiple of their sum.

    .. math:: \min_{v \ge 0} v^\top C v + (h^\top v - 1)^2, \qquad z = \sum_i y_i u_i, \quad y = \frac{v}{1 - h^\top v}

    with their cosines C. Where no z will do, both summands become 0. Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23.
    """
    from scipy.optimize import nnls  # when it is used: `import adapt` does not import scipy

    if definite(C, 1e-10):
        y = solve(C, h)
        if min(y) >= 0:  # all count: equations
            return y / (1 + h @ y)
    T = len(h)
    rows, one = numpy.empty((T + 1, T)), numpy.zeros(T + 1)
    rows[:T], rows[T], one[T] = root(C), h, 1.0
    return nnls(rows, one, maxiter=100 * T)[0]
