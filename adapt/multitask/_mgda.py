"""The point of least norm between the gradients."""

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, definite, norms_and_cosines, root, solve


def mgda(*, at: At = "features") -> FromGramian:
    r"""Return MGDA: the shortest convex combination of the gradients, a descent direction of all tasks.

    .. math:: w = T \arg\min_{w \in \Delta} \Bigl\| \sum_i w_i \nabla L_i \Bigr\|^2

    Args:
        at: where gradients are taken; ``"features"`` is the upper bound of Sener and Koltun, MGDA-UB.

    The direction follows the task with the smallest gradient; hence MGDA is no default here. At a Pareto-stationary
    point the direction is zero.

    Raises:
        ValueError: an unknown `at`.

    Désidéri, 2012, https://doi.org/10.1016/j.crma.2012.03.014; Sener and Koltun, Multi-Task Learning as Multi-Objective
    Optimization, 2018, https://arxiv.org/abs/1810.04650

    >>> mgda()(torch.ones(2), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([1.5000, 0.5000])
    """
    return FromGramian(lambda G: len(G) * least_norm(G), at, made_by=call_text("mgda", at=at))


def least_norm(G: ndarray) -> ndarray:
    r"""Return the weights on the simplex of the shortest combination, exactly.

    The weights are proportional to the weights of the shortest vector whose product with each gradient is 1.
    """
    d, C = norms_and_cosines(G)
    v = shortest(C, min(d) / d) / d
    return v / sum(v)


def shortest(C: ndarray, h: ndarray) -> ndarray:
    r"""Return weights :math:`v \ge 0` of the shortest z whose product with unit vector i is at least :math:`h_i`.

    .. math:: \min_{v \ge 0} v^\top C v + (h^\top v - 1)^2, \qquad z = \sum_i y_i u_i, \quad y = \frac{v}{1 - h^\top v}

    with the cosines C of the unit vectors. Where no z exists, both summands become 0. Lawson and Hanson, Solving Least
    Squares Problems, 1974, chapter 23.
    """
    from scipy.optimize import nnls  # at the first use: `import adapt` does not import scipy

    if definite(C, 1e-10):
        y = solve(C, h)
        if min(y) >= 0:  # every vector has a weight: linear equations
            return y / (1 + h @ y)
    T = len(h)
    rows, one = numpy.empty((T + 1, T)), numpy.zeros(T + 1)
    rows[:T], rows[T], one[T] = root(C), h, 1.0
    return nnls(rows, one, maxiter=100 * T)[0]
