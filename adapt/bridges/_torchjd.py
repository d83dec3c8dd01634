"""Aggregators of torchjd."""

from typing import Any

import numpy
import torch
from numpy import ndarray

from adapt.multitask._from_gramian import At, FromGramian


def torchjd(aggregator: Any, *, at: At = "parameters") -> FromGramian:
    """Any weighting of torchjd that takes a Gramian, or an aggregator built on one: ``torchjd(UPGrad())``.

    Args:
        aggregator: a `Weighting` of Gramians, or an `Aggregator` with the attribute `gramian_weighting`.
        at: where gradients are taken.

    Some of torchjd's average and some sum: its weights are scaled so that orthonormal gradients get 1 each. Random ones (PCGrad) draw from
    torch's global generator, which the trainer seeds for each rank: keep to deterministic ones on several ranks.

    Raises:
        TypeError: an aggregator that needs the whole Jacobian (GradDrop, TrimmedMean).

    The extra ``multitask`` installs it: ``pip install 'adapt-losses[multitask]'``.
    """
    weighting = getattr(aggregator, "gramian_weighting", aggregator)
    takes_jacobian = weighting is aggregator and any(base.__name__ == "Aggregator" for base in type(aggregator).mro())
    if not callable(weighting) or takes_jacobian:
        raise TypeError(
            f"`aggregator` must weigh tasks by their Gramian, got {type(aggregator).__name__}, which needs the whole Jacobian."
        )

    def weigh(G: ndarray) -> ndarray:
        return weighting(torch.from_numpy(G)).double().numpy()

    def solve(G: ndarray) -> ndarray:
        T = len(G)
        return T / weigh(numpy.eye(T)).sum() * weigh(G)

    return FromGramian(solve, at)
