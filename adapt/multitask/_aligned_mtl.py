"""Gradients made orthogonal and of one length."""

from collections.abc import Callable

import numpy
from numpy import ndarray

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian, eigh

SCALES: dict[str, Callable] = {"min": min, "median": numpy.median, "rmse": lambda values: values.mean()}


def aligned_mtl(*, scale: str = "min", at: At = "features") -> FromGramian:
    r"""Return Aligned-MTL: the sum of the nearest system of orthogonal gradients of equal length.

    .. math:: w = \sqrt{\lambda} \, V \Lambda^{-1/2} V^\top 1, \qquad G = V \Lambda V^\top

    :math:`\Lambda^{-1/2}` has the eigenvalues above 1e-10 of the largest; :math:`\lambda` is one of the eigenvalues.

    Args:
        scale: :math:`\lambda`: ``"min"``, the smallest, as in the paper, makes every step as short as the worst
            direction; ``"median"``; ``"rmse"``, the mean.
        at: where gradients are taken; ``"features"`` is the paper's upper bound, Aligned-MTL-UB.

    Raises:
        ValueError: an unknown scale or `at`.

    Senushkin et al., Independent Component Alignment for Multi-Task Learning, 2023, https://arxiv.org/abs/2305.19000

    >>> aligned_mtl()(torch.ones(2), torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    tensor([1.0000, 0.5000])
    """
    if scale not in SCALES:
        raise ValueError(f"`scale` must be one of {', '.join(SCALES)}, got {scale!r}.")
    return FromGramian(lambda G: align(G, scale), at, made_by=call_text("aligned_mtl", scale=scale, at=at))


def align(G: ndarray, scale: str) -> ndarray:
    values, V = eigh(G)
    none = sum(values <= 1e-10 * values[-1])
    values, V = values[none:], V[:, none:]
    return V @ (numpy.ones(len(G)) @ V * numpy.sqrt(SCALES[scale](values) / values))
