"""The point of least norm between the gradients."""

import numpy
from numpy import ndarray

from adapt.multitask.gramian import At, FromGramian, norms_and_cosines, root, solve


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
    r"""Weights on the simplex of the shortest combination, exactly.

    .. math:: \min_{v \ge 0} v^\top G v - 2 \cdot 1^\top v

    has its optimum at a multiple of these weights. Solved for unit gradients, :math:`x = D v`, as non-negative least squares.
    """
    from scipy.optimize import nnls  # when it is used: `import adapt` does not import scipy

    d, C = norms_and_cosines(G)
    B = root(C)
    x = solve(B.T @ B, 1 / d)
    if x.min() < 0:
        x = nnls(B, B @ x, maxiter=100 * len(G))[0]
    return x / d / (x / d).sum()
