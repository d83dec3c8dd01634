"""Equal projections on every gradient."""

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, definite, norms_and_cosines, solve


def imtl_g(*, at: At = "features") -> FromGramian:
    r"""Return IMTL-G: the direction with equal projections on all gradients, whatever the lengths of the gradients.

    .. math::
        \Bigl\langle \sum_j w_j \nabla L_j, \frac{\nabla L_i}{\|\nabla L_i\|} \Bigr\rangle = \text{the same for all } i,
        \qquad \sum_i w_i = T

    solved as :math:`w \propto D^{-1} C^{+} 1` with the norms D and the cosines C. The equation allows negative weights;
    a negative weight becomes 0 here, because the method balances lengths and should not increase a loss.

    Args:
        at: where gradients are taken. Relative lengths at the features are the lengths at the parameters within 8 %,
            measured on a small network, and cost nothing.

    Invariant to the scale of each loss: :math:`w_i \nabla L_i` does not change but for a common factor. Where the
    equation has no solution, the least-squares solution; where the latter is zero (two opposite gradients), weights
    :math:`1 / \|\nabla L_i\|`. The direction is the direction of :func:`conflict_free` but for the clamp.

    Raises:
        ValueError: an unknown `at`.

    Liu et al., Towards Impartial Multi-Task Learning, 2021, https://openreview.net/forum?id=IMPnRXEWpvr

    >>> imtl_g()(torch.ones(2), torch.tensor([[1.0, 0.0], [0.0, 9.0]]))
    tensor([1.5000, 0.5000])
    """
    return FromGramian(weigh, at, made_by=call_text("imtl_g", at=at))


def weigh(G: ndarray) -> ndarray:
    d, C = norms_and_cosines(G)
    w = project(C).clip(0)
    if w.sum() < 1e-8:  # opposite gradients
        w = numpy.ones(len(G))
    return len(G) * (w / d) / (w / d).sum()


def project(C: ndarray) -> ndarray:
    """Return the weights of the unit gradients for equal projections on each gradient, up to a common factor."""
    if definite(C, 1e-10):
        return solve(C, numpy.ones(len(C)))  # a quarter of the time of a pseudo-inverse
    return numpy.linalg.pinv(C, rcond=1e-10, hermitian=True).sum(1)
