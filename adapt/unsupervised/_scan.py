"""Clusters that neighbours share: the clustering step of SCAN."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.randomness import keyed_seed
from adapt.unsupervised._cluster import check_clusters, found_clusters
from adapt.unsupervised.rows import feature_rows
from losses.options import AT_LEAST_0, COUNT, FROM_0, POSITIVE, check


def scan(
    features: Any,
    clusters: int,
    *,
    neighbours: int = 20,
    balance: float = 5.0,
    steps: int = 300,
    rate: float = 0.01,
    seed: int = 0,
) -> Tensor:
    r"""Return the number of the cluster of each row: a linear classifier that agrees with itself on neighbours.

    .. math:: -\frac1n \sum_i \log \langle p_i, p_{j(i)} \rangle
        + \lambda \sum_k \bar p_k \log \bar p_k, \qquad p_i = \mathrm{softmax}(W x_i + b), \qquad
        \bar p = \frac1n \sum_i p_i

    with unit rows x and a neighbour j(i) of row i by cosine, drawn anew in each step. The classifier starts at the
    centres of k-means, and learns on all rows by Adam.

    Args:
        features: ``(n, d)`` of an encoder.
        clusters: K, at most n.
        neighbours: candidates for j; 20 as in the paper for CIFAR-10 and STL-10.
        balance: :math:`\lambda`, 5 as in the paper. 0 may put all rows in one cluster; large numbers make clusters of
            equal size.
        steps: of Adam.
        rate: of Adam.
        seed: of the neighbours drawn.

    Returns:
        ``(n,)`` int64 in [0, K).

    Raises:
        ValueError: shapes, numbers that are not finite, more clusters than rows, an option with a wrong value.

    The paper trains the whole encoder on images and then on its own confident labels; here the features are fixed. The
    start at k-means is our choice; the paper starts at random and keeps the best of several heads. The classes must be
    of about equal size.

    Van Gansbeke et al., SCAN: Learning to Classify Images without Labels, 2020, https://arxiv.org/abs/2005.12320

    >>> scan([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]], 2, neighbours=1).unique().tolist()
    [0, 1]
    """
    from sklearn.neighbors import NearestNeighbors

    check(COUNT, clusters=clusters, neighbours=neighbours, steps=steps)
    check(AT_LEAST_0, balance=balance)
    check(POSITIVE, rate=rate)
    check(FROM_0, seed=seed)
    rows = feature_rows(features)
    check_clusters(clusters, len(rows))
    x = F.normalize(torch.from_numpy(rows), dim=1)
    number = min(int(neighbours), len(x) - 1)
    near = torch.from_numpy(NearestNeighbors(n_neighbors=number).fit(x.numpy()).kneighbors(return_distance=False))
    start = torch.from_numpy(found_clusters(x.numpy(), int(clusters), "k-means", 10, 10, int(seed)))
    centres = torch.stack([x[start == k].mean(0) if (start == k).any() else x.mean(0) for k in range(int(clusters))])
    generator = torch.Generator().manual_seed(keyed_seed(int(seed), "scan"))
    with torch.enable_grad():
        # the scores of k-means, 2 x c - |c|^2, sharp enough that most rows are sure
        W, b = nn.Parameter(20 * centres), nn.Parameter(-10 * centres.square().sum(1))
        adam = torch.optim.Adam([W, b], lr=rate)
        for _ in range(int(steps)):
            drawn = near[torch.arange(len(x)), torch.randint(number, (len(x),), generator=generator)]
            log_p = F.linear(x, W, b).log_softmax(1)
            adam.zero_grad()
            scan_loss(log_p, log_p[drawn], balance).backward()
            adam.step()
    return F.linear(x, W, b).argmax(1).detach()


def scan_loss(log_p: Tensor, log_p_near: Tensor, balance: float) -> Tensor:
    """Return the loss of SCAN for ``(n, K)`` log probabilities of rows and of one neighbour of each row."""
    agreement = (log_p + log_p_near).logsumexp(1).mean()
    mean = log_p.logsumexp(0) - math.log(len(log_p))
    return -agreement + balance * (mean.exp() * mean).sum()
