"""Projections onto the cone of directions without conflict."""

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, norms_and_cosines, root


def upgrad(*, at: At = "parameters") -> FromGramian:
    r"""Return UPGrad: the sum of the gradients, each projected onto the directions without conflict with any task.

    .. math::
        \sum_i \arg\min_{d \in K} \|d - \nabla L_i\|^2, \qquad
        K = \{ d : \langle d, \nabla L_j \rangle \ge 0 \text{ for all } j \}

    Args:
        at: where gradients are taken, and where the result is free of conflict.

    Deterministic, and the plain sum where no two gradients conflict. Recommended where a guarantee of non-conflict is
    needed. The paper averages the projections; the balance sums the projections.

    Raises:
        ValueError: an unknown `at`.

    Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024, https://arxiv.org/abs/2406.16232

    >>> upgrad()(torch.ones(2), torch.tensor([[1.0, -0.5], [-0.5, 1.0]]))
    tensor([1.5000, 1.5000])
    """
    made_by = call_text("upgrad", at=at)
    return FromGramian(lambda G: project(G, numpy.eye(len(G))).sum(0), at, independent=True, made_by=made_by)


def dualproj(*, at: At = "parameters") -> FromGramian:
    r"""Return DualProj: the sum of the gradients, projected onto the directions without conflict with any task.

    .. math::
        \arg\min_{d \in K} \Bigl\| d - \sum_i \nabla L_i \Bigr\|^2, \qquad
        K = \{ d : \langle d, \nabla L_j \rangle \ge 0 \text{ for all } j \}

    Args:
        at: where gradients are taken, and where the result is free of conflict.

    One projection in all, where :func:`upgrad` has one projection per task.

    Raises:
        ValueError: an unknown `at`.

    Lopez-Paz and Ranzato, Gradient Episodic Memory, 2017, https://arxiv.org/abs/1706.08840

    >>> dualproj()(torch.ones(2), torch.tensor([[1.0, -2.0], [-2.0, 9.0]]))
    tensor([2., 1.])
    """
    made_by = call_text("dualproj", at=at)
    return FromGramian(lambda G: project(G, numpy.ones((1, len(G))))[0], at, independent=True, made_by=made_by)


def project(G: ndarray, U: ndarray) -> ndarray:
    r"""Return, for each row u of `U`, weights v of the projection of :math:`\sum_i u_i \nabla L_i`.

    By duality :math:`\min_v v^\top G v` with :math:`v \ge u`; with :math:`v = u + s` non-negative least squares in s.
    Solved for unit gradients, so that any ratio of lengths is harmless.
    """
    from scipy.optimize import nnls  # at the first use: `import adapt` does not import scipy

    d, C = norms_and_cosines(G)
    if C.min() >= 0:
        return U.astype(float)
    B = root(C)
    V = [u + nnls(B, b, maxiter=100 * len(G))[0] for u, b in zip(U * d, U * -d @ B.T, strict=True)]
    return numpy.array(V) / d
