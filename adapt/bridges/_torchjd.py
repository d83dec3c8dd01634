"""Aggregators of torchjd."""

from typing import Any

import numpy
import torch
from numpy import ndarray

from adapt.bridges._optional import optional
from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, FromGramian


def torchjd(aggregator: Any, *, at: At = "parameters") -> FromGramian:
    """Return a balance from a weighting of torchjd that takes a Gramian: ``torchjd(UPGrad())``.

    Args:
        aggregator: a `Weighting` of Gramians, or an aggregator built on a `Weighting` of Gramians.
        at: where gradients are taken.

    Some weightings of torchjd average the gradients and some sum the gradients. The balance scales the weights so that
    orthonormal gradients get a weight of 1 each. Random weightings (PCGrad) draw from torch's global generator, and the
    trainer seeds the generator for each rank: on several ranks take deterministic weightings.

    Raises:
        TypeError: an aggregator of whole Jacobians (GradDrop, TrimmedMean).
        ValueError: an unknown `at`.
        ImportError: no torchjd; ``pip install "adapt-losses[multitask]"``.
    """
    with optional("torchjd", "multitask"):
        from torchjd.aggregation import GramianWeightedAggregator, Weighting
    weighting = aggregator.gramian_weighting if isinstance(aggregator, GramianWeightedAggregator) else aggregator
    if not isinstance(weighting, Weighting):
        raise TypeError(
            f"`aggregator` must weigh tasks by the Gramian of the gradients, got {type(aggregator).__name__}, which "
            "needs the whole Jacobian: take a `Weighting`, or an aggregator with `gramian_weighting`."
        )

    def weigh(G: ndarray) -> ndarray:
        return weighting(torch.from_numpy(G)).double().numpy()

    def solve(G: ndarray) -> ndarray:
        T = len(G)
        return T / weigh(numpy.eye(T)).sum() * weigh(G)

    return FromGramian(solve, at, made_by=call_text("torchjd", aggregator=aggregator, at=at))
