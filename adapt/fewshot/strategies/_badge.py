"""Uncertain rows that differ from each other."""

import torch
from torch import Tensor

from adapt.fewshot.pool import Pool
from losses.options import TRUTH, check


def badge(pool: Pool, *, origin: bool = False) -> Tensor:
    r"""Return rows by k-means++ on the gradients of the last layer: BADGE.

    .. math:: g_i = (p_i - e_{\hat y_i}) \otimes f_i, \qquad \hat y_i = \arg\max_k p_{ik}, \qquad
        P(s_t = i) \propto D_i^2 = \min_{j \in S} \lVert g_i - g_j \rVert^2

    The first row has the longest gradient. The distance factorises, with :math:`r_i = p_i - e_{\hat y_i}`:

    .. math:: \lVert g_i - g_j \rVert^2 = \lVert r_i \rVert^2 \lVert f_i \rVert^2 + \lVert r_j \rVert^2
        \lVert f_j \rVert^2 - 2 \, (r_i^\top r_j) (f_i^\top f_j)

    so that no gradient is ever built: the memory is one copy of the probabilities, and no copy of the features.

    Args:
        origin: whether a gradient of zero counts as a chosen row: rows that the classifier is sure about are then
            chosen last. False as in the authors' code; True as in scikit-activeml, which then draws the same rows from
            the same random numbers.

    Where all distances are 0 a row is drawn by chance. One host synchronisation per row.

    Ash et al., Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds, 2020,
    https://arxiv.org/abs/1906.03671
    """
    check(TRUTH, origin=origin)
    f, r = pool.features, pool.need_probabilities("badge").clone()
    r.scatter_add_(1, r.argmax(1, keepdim=True), torch.full_like(r[:, :1], -1))
    square = (torch.linalg.vector_norm(f, dim=1) * torch.linalg.vector_norm(r, dim=1)).square().double()
    left = ~pool.labelled
    D2 = square if origin else torch.full_like(square, torch.inf)
    picks: list[int] = []
    for u in torch.rand(pool.budget, generator=pool.generator("badge"), dtype=torch.float64):
        weight = torch.where(left, D2 if picks else square, 0).cpu()
        weight = weight if weight.sum() > 0 else left.cpu().double()
        pick = int(weight.argmax()) if not picks else drawn(weight, u)
        picks.append(pick)
        left[pick] = False
        distance = square + square[pick] - 2 * ((f @ f[pick]).double() * (r @ r[pick]))
        D2 = torch.minimum(D2, distance.clamp(min=0))
    return torch.tensor(picks)


def drawn(weight: Tensor, u: Tensor) -> int:
    """Return the row at the share `u` in [0, 1) of the summed weights; a row without weight is never drawn."""
    share = weight.cumsum(0)
    return int(torch.searchsorted(share / share[-1], u, right=True))
