"""Uncertain rows of all parts of the pool."""

import torch
from torch import Tensor
from torch.special import entr

from adapt.fewshot.pool import Pool
from adapt.fewshot.strategies.clusters import k_means
from losses.options import POSITIVE, check


def clue(pool: Pool, *, temperature: float = 1.0) -> Tensor:
    r"""Return the row nearest to each centre of a k-means that is weighted by the entropy: CLUE, for another domain.

    .. math:: \min_{\mu_1, \dots, \mu_B} \sum_i H(p_i^{(T)}) \min_k \lVert f_i - \mu_k \rVert^2, \qquad
        p_{ik}^{(T)} = \frac{p_{ik}^{1/T}}{\sum_l p_{il}^{1/T}}

    Args:
        temperature: T, 1 as in the paper; the paper takes 0.1 for DomainNet, which weights uncertain rows more.

    Only rows without a label are clustered, into as many clusters as the budget. A row that is already chosen leaves
    its centre to the next nearest row. Where all entropies are 0 all weights are equal.

    Raises:
        ValueError: a temperature that is not positive.

    Prabhu et al., Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings, 2021,
    https://arxiv.org/abs/2010.08666
    """
    check(POSITIVE, temperature=temperature)
    rows = (~pool.labelled).nonzero()[:, 0]
    p = (pool.need_probabilities("clue")[rows].double().log() / temperature).softmax(1)
    weight, x = entr(p).sum(1), pool.features[rows]
    weight = weight if weight.sum() > 0 else torch.ones_like(weight)
    _, centres = k_means(x, pool.budget, pool.seed, weight)
    distance = torch.cdist(centres, x)
    picks = []
    for from_centre in distance:
        pick = from_centre.argmin()
        picks.append(pick)
        distance[:, pick] = torch.inf
    return rows[torch.stack(picks)]
