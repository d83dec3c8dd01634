"""Directions in which features hardly vary are closed."""

from functools import partial

from torch import Tensor

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from losses.options import COUNT, check


def bss(*, on: str, count: int = 1, weight: float | Schedule = 1e-3, name: str = "bss") -> Term:
    """Penalise the smallest singular values of a batch of features: batch spectral shrinkage, BSS.

    Args:
        on: the stream. Labels are not used.
        count: number of singular values; 1 as in the paper.
        weight: of the term; 0.001 as in the paper.
        name: of the term.

    Raises:
        ValueError: a `count` below 1.

    Chen et al., 2019, https://papers.nips.cc/paper/2019/hash/c6bff625bdb0393992c9d4db0c6bbe45-Abstract.html
    """
    check(COUNT, count=count)
    return Term(name, partial(_shrinkage, on=on, count=count), weight, streams=[on])


def _shrinkage(step: Step, *, on: str, count: int) -> Tensor:
    return losses.batch_spectral_shrinkage(step[on].features, count=count)
