"""Rows that cover the others."""

import math

import torch
from torch import Tensor

from adapt.fewshot.pool import Pool
from losses.fine_tuning.norm import unit
from losses.options import POSITIVE, check

BLOCK = 256  # rows at a time; bounds the memory, changes no result


def max_herding(pool: Pool, *, bandwidth: float = 1.0) -> Tensor:
    r"""Return rows that one after the other cover most of the other rows: MaxHerding, for few labels.

    .. math:: s_t = \arg\max_i \frac1n \sum_j \max\bigl(k(f_j, f_i) - \max_{l \in L \cup S} k(f_j, f_l), 0\bigr),
        \qquad k(f, g) = \exp\Bigl(-\frac{\lVert f - g \rVert^2}{2 \sigma^2}\Bigr)

    Args:
        bandwidth: :math:`\sigma`, 1 as in the paper. Rows first get unit length, as in the paper.

    The sum falls while rows are chosen (the coverage is submodular): a row is looked at again only where its last sum
    is among the largest. The choice is exact, and no ``(n, n)`` matrix is kept; the first look at all pairs costs
    :math:`n^2 d` operations. scikit-activeml keeps the matrix, and ``gamma`` there is :math:`1 / (2 \sigma^2)`, by
    default 1 over the number of features.

    Raises:
        ValueError: a bandwidth that is not positive.

    Bae et al., Generalized Coverage for More Robust Low-Budget Active Learning, 2024,
    https://arxiv.org/abs/2407.12212
    """
    check(POSITIVE, bandwidth=bandwidth)
    x = unit(pool.features) / (bandwidth * math.sqrt(2))
    square = torch.linalg.vector_norm(x, dim=1).square()

    def kernel(rows: Tensor) -> Tensor:
        """Return ``(rows, n)``."""
        distance = torch.addmm(square, x[rows], x.T, alpha=-2) + square[rows, None]
        return distance.clamp_(min=0).neg_().exp_()

    covered = torch.zeros_like(square)
    for rows in pool.blocks(BLOCK):
        torch.maximum(covered, kernel(rows).amax(0), out=covered)
    gain = torch.full_like(square, torch.inf).masked_fill(pool.labelled, -torch.inf)
    known, picks = torch.full_like(square, -1), []  # at which choice the gain of a row was computed
    for turn in range(pool.budget):
        while known[pick := gain.argmax()] < turn:
            old = gain.masked_fill(known == turn, -torch.inf)
            best, rows = old.topk(min(BLOCK, len(old)))
            rows = rows[best > -torch.inf]
            gain[rows] = (kernel(rows) - covered).clamp_(min=0).sum(1)
            known[rows] = turn
        picks.append(pick)
        gain[pick] = -torch.inf
        torch.maximum(covered, kernel(pick[None])[0], out=covered)
    return torch.stack(picks)
