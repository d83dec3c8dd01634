"""Directions that hardly vary are closed."""

import losses
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def bss(on: str, *, weight: float | Schedule = 1e-3, count: int = 1) -> Term:
    """Penalise the smallest singular values of a batch of features: batch spectral shrinkage, BSS.

    Args:
        on: stream; its labels are not used.
        weight: of the term; 0.001 as in the paper.
        count: how many singular values; 1 as in the paper.

    Chen et al., 2019, https://papers.nips.cc/paper/2019/hash/c6bff625bdb0393992c9d4db0c6bbe45-Abstract.html
    """
    return Term(
        "bss",
        lambda step: losses.batch_spectral_shrinkage(step[on].features, count=count),
        weight,
        streams=[on],
    )
