"""Typical rows first, then uncertain rows."""

from torch import Tensor

from adapt.fewshot.pool import Pool
from adapt.fewshot.strategies._typiclust import typiclust
from adapt.fewshot.strategies._uncertainty import margin
from losses.options import COUNT, check


def typiclust_margin(pool: Pool, *, per_class: int = 2) -> Tensor:
    """Return rows by :func:`typiclust` while there are few labels, then by :func:`margin`.

    A classifier with hardly any labels does not know what it does not know; a classifier with more labels does, and
    typical rows then repeat what is known (Hacohen et al., 2022, section 1).

    Args:
        per_class: TypiClust chooses until the pool has this number of labelled rows for each column of the
            probabilities, and where there are no probabilities. 2: the labels of the usual cold start.

    Raises:
        ValueError: a number below 1.

    Hacohen et al., Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets, 2022,
    https://arxiv.org/abs/2202.02794
    """
    check(COUNT, per_class=per_class)
    p = pool.probabilities
    few = p is None or int(pool.labelled.sum()) < per_class * p.shape[1]
    return typiclust(pool) if few else margin(pool)
