"""Projections onto the cone of directions that conflict with no task."""

import numpy
from numpy import ndarray

from adapt.multitask._from_gramian import At, FromGramian, norms_and_cosines, root


def upgrad(*, at: At = "parameters") -> FromGramian:
    r"""Each gradient projected onto the directions that hurt no task; then their sum: UPGrad.

    .. math:: \sum_i \arg\min_{d \in K} \|d - \nabla L_i\|^2, \qquad K = \{ d : \langle d, \nabla L_j \rangle \ge 0 \text{ for all } j \}

    Args:
        at: where gradients are taken: the promise holds there.

    Deterministic, and the plain sum where no two gradients conflict. Recommended where a guarantee of non-conflict is
    wanted. The paper averages the projections; here they are summed.

    Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024, https://arxiv.org/abs/2406.16232

    >>> upgrad()(torch.ones(2), torch.tensor([[1.0, -0.5], [-0.5, 1.0]]))
    tensor([1.5000, 1.5000])
    """
    return FromGramian(lambda G: project(G, numpy.eye(len(G))).sum(0), at, independent=True)


def dualproj(*, at: At = "parameters") -> FromGramian:
    r"""The sum of the gradients projected onto the directions that hurt no task: DualProj.

    .. math:: \arg\min_{d \in K} \Bigl\| d - \sum_i \nabla L_i \Bigr\|^2, \qquad K = \{ d : \langle d, \nabla L_j \rangle \ge 0 \text{ for all } j \}

    Args:
        at: where gradients are taken: the promise holds there.

    One projection, where :func:`upgrad` has one a task.

    Lopez-Paz and Ranzato, Gradient Episodic Memory, 2017, https://arxiv.org/abs/1706.08840

    >>> dualproj()(torch.ones(2), torch.tensor([[1.0, -2.0], [-2.0, 9.0]]))
    tensor([2., 1.])
    """
    return FromGramian(lambda G: project(G, numpy.ones((1, len(G))))[0], at, independent=True)


def project(G: ndarray, U: ndarray) -> ndarray:
    r"""For each row u of `U`, weights v of the projection of :math:`\sum_i u_i \nabla L_i`.

    By duality :math:`\min_v v^\top G v` with :math:`v \ge u`; with :math:`v = u + s` non-negative least squares in s. Solved for unit
    gradients, so that lengths of any ratio do no harm.
    """
    from scipy.optimize import nnls  # when it is used: `import adapt` does not import scipy

    d, C = norms_and_cosines(G)
    if C.min() >= 0:
        return U.astype(float)
    B = root(C)
    V = [u + nnls(B, b, maxiter=100 * len(G))[0] for u, b in zip(U * d, U * -d @ B.T, strict=True)]
    return numpy.array(V) / d
