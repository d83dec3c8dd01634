"""Typical rows of clusters that have no label yet."""

import torch
from torch import Tensor

from adapt.fewshot.pool import Pool
from adapt.fewshot.strategies.clusters import k_means
from losses.fine_tuning.norm import unit
from losses.options import COUNT, TRUTH, check

MOST_CLUSTERS, BLOCK = 500, 1024


def typiclust(pool: Pool, *, neighbours: int = 20, unit_length: bool = True) -> Tensor:
    r"""Return the most typical row of each of the largest clusters without a label: TypiClust, for the first labels.

    k-means has as many clusters as labelled rows and budget together, 500 at most. Clusters with fewest labelled rows
    come first, among these clusters the largest. Of each cluster in turn the row without a label that has the largest
    typicality is chosen:

    .. math:: \Bigl(\frac1K \sum_{j \in \mathrm{NN}_K(i)} \lVert f_i - f_j \rVert\Bigr)^{-1}

    Args:
        neighbours: K, 20 as in the paper; all other rows of the cluster where the cluster has fewer.
        unit_length: whether rows first get unit length, as in the authors' code.

    Neighbours are rows of the same cluster, with and without label. The authors' code reads only the rows of the
    cluster without a label, at most half of these rows as neighbours, and squared distances. The code leaves out
    clusters of five rows or fewer; these clusters come last here. scikit-activeml differs: 5 neighbours, and rows as
    they are.

    Raises:
        ValueError: a number of neighbours below 1.

    Hacohen et al., Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets, 2022,
    https://arxiv.org/abs/2202.02794
    """
    check(COUNT, neighbours=neighbours)
    check(TRUTH, unit_length=unit_length)
    x = unit(pool.features) if unit_length else pool.features
    count = min(int(pool.labelled.sum()) + pool.budget, MOST_CLUSTERS)
    cluster, _ = k_means(x, count, pool.seed)
    sizes, known = cluster.bincount(minlength=count), cluster[pool.labelled].bincount(minlength=count)
    order = sorted(range(count), key=lambda c: (int(known[c]), -int(sizes[c])))
    queues: dict[int, list[int]] = {}
    picks: list[int] = []
    while len(picks) < pool.budget:
        for c in order:
            if c not in queues:
                rows = (cluster == c).nonzero()[:, 0]
                nearest = rows[mean_distance(x[rows], int(neighbours)).sort(stable=True).indices]
                queues[c] = nearest[~pool.labelled[nearest]].flip(0).tolist()
            if queues[c] and len(picks) < pool.budget:
                picks.append(queues[c].pop())
    return torch.tensor(picks)


def mean_distance(x: Tensor, neighbours: int) -> Tensor:
    """Return ``(n,)`` mean distances to the nearest other rows; 0 for a single row. In float64, by blocks of rows."""
    n = len(x)
    if n < 2:
        return x.new_zeros(n)
    z, k, found = (x - x.mean(0)).double(), min(neighbours, n - 1), []
    for rows in torch.arange(n, device=x.device).split(BLOCK):
        distance = torch.cdist(z[rows], z)
        distance[torch.arange(len(rows), device=x.device), rows] = torch.inf
        found.append(distance.topk(k, largest=False).values.mean(1))
    return torch.cat(found)
