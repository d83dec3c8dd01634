"""A direction without conflict, as for physics-informed networks."""

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, norms_and_cosines
from adapt.multitask._imtl_g import project


def conflict_free(*, at: At = "parameters") -> FromGramian:
    r"""Return ConFIG: the direction with equal cosines to all gradients, as long as the sum of the projections.

    .. math:: d = \Bigl( \sum_i \langle \nabla L_i, u \rangle \Bigr) u, \qquad u = \frac{v}{\|v\|}, \quad v = U^{+} 1

    with the unit gradients as the rows of U. From the Gramian, the weights are the entries of
    :math:`D^{-1} C^{+} 1`, with the norms D and the cosines C. Zero for two opposite gradients.

    Args:
        at: where gradients are taken; see :func:`adapt.multitask.pcgrad`.

    Weights may be negative, and the direction still increases no loss, as long as the gradients are linearly
    independent, hence no more tasks than parameters. :func:`imtl_g` is the same direction with another length.

    Raises:
        ValueError: an unknown `at`.

    Liu, Chu, Thuerey, ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, 2024,
    https://arxiv.org/abs/2408.11104

    >>> conflict_free()(torch.ones(2), torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    tensor([1.5000, 0.7500])
    """
    return FromGramian(weigh, at, made_by=call_text("conflict_free", at=at))


def weigh(G: ndarray) -> ndarray:
    d, C = norms_and_cosines(G)
    a = project(C)
    square = a @ C @ a
    if square < 1e-12:  # opposite gradients
        return numpy.zeros(len(G))
    return (d @ C @ a) / square * a / d
