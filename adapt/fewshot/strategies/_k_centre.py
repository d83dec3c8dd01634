"""Rows far from all labelled rows."""

import torch
from torch import Tensor

from adapt.fewshot.pool import Pool

BLOCK = 256  # labelled rows at a time; bounds the memory


def k_centre(pool: Pool) -> Tensor:
    r"""Return rows that are one after the other farthest from all labelled and chosen rows: greedy k-centre.

    .. math:: s_t = \arg\max_i \min_{j \in L \cup \{s_1, \dots, s_{t-1}\}} \lVert f_i - f_j \rVert

    Without a labelled row the first choice is the row nearest to the mean, where the paper has a given first set. The
    strategy finds outliers. Memory: one copy of the features.

    Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, 2018,
    https://arxiv.org/abs/1708.00489
    """
    z = pool.features - pool.features.mean(0)  # changes no distance, and the numbers that cancel stay small
    square = torch.linalg.vector_norm(z, dim=1).square()
    nearest = torch.full_like(square, torch.inf)

    def approach(rows: Tensor) -> None:
        distance = torch.addmm(square[rows], z, z[rows].T, alpha=-2).amin(1) + square
        torch.minimum(nearest, distance, out=nearest)

    for rows in pool.blocks(BLOCK):
        approach(rows)
    closed = pool.labelled.clone()
    picks: list[Tensor] = []
    for _ in range(pool.budget):
        far = nearest if picks or closed.any() else -square
        pick = far.masked_fill(closed, -torch.inf).argmax()
        picks.append(pick)
        closed[pick] = True
        approach(pick[None])
    return torch.stack(picks)
