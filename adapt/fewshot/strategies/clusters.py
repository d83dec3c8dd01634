"""k-means of rows."""

import warnings

import torch
from torch import Tensor


def k_means(x: Tensor, count: int, seed: int, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return ``(n,)`` clusters of the rows of ``(n, d)`` `x` and ``(count, d)`` centres; clusters may be empty.

    scikit-learn's, on the CPU, from one start by k-means++.
    """
    from sklearn.cluster import KMeans

    means = KMeans(count, n_init=1, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different rows than clusters: some clusters are empty, no harm
        means.fit(x.cpu().numpy(), sample_weight=None if weight is None else weight.cpu().numpy())
    return torch.from_numpy(means.labels_).long().to(x.device), torch.from_numpy(means.cluster_centers_).to(x)
