"""The point of least norm between the gradients."""

import numpy
from numpy import ndarray

from adapt.multitask.gramian import At, FromGramian, root


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
    return FromGramian(lambda G: len(G) * least_norm(root(G)), at)


def least_norm(B: ndarray) -> ndarray:
    r"""Weights on the simplex of the shortest combination of the columns of `B`, exactly.

    .. math:: \min_{v \ge 0} \|B v\|^2 + (1^\top v - 1)^2

    has its optimum at :math:`v = s w` for these weights w: with :math:`q = \|B w\|^2` the best s leaves :math:`q / (1 + q)`, which
    grows with q. So non-negative least squares solves it.
    """
    from scipy.optimize import nnls  # when it is used: `import adapt` does not import scipy

    size = numpy.sqrt(numpy.square(B).sum(0).min())  # of the shortest: q is then at most 1
    rows = numpy.vstack([B / (size or 1.0), numpy.ones(B.shape[1])])
    v = nnls(rows, numpy.eye(len(rows))[-1], maxiter=100 * B.shape[1])[0]
    return v / v.sum()
