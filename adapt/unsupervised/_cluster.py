"""Clusters of a small set of rows, on features of an encoder."""

from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.unsupervised.rows import feature_rows
from losses.options import COUNT, FROM_0, check

METHODS = ("k-means", "spectral")


def cluster(
    features: Any, clusters: int, *, method: str = "k-means", neighbours: int = 10, starts: int = 10, seed: int = 0
) -> Tensor:
    r"""Return the number of the cluster of each row: k-means, or spectral clustering of the graph of neighbours.

    k-means minimises :math:`\sum_i \lVert x_i - \mu_{c(i)} \rVert^2`. Spectral clustering runs k-means on the first
    eigenvectors of the normalised Laplacian of the graph that joins each row with its `neighbours`.

    Args:
        features: ``(n, d)`` of an encoder. The features are taken as they are, up to one common factor: scale them to
            length one before where the encoder was trained on cosines, ``F.normalize(features, dim=1)``.
        clusters: K, at most n; :func:`number_of_clusters` estimates K.
        method: ``"k-means"`` or ``"spectral"``. Spectral clustering follows clusters of any shape, costs n squared
            numbers, and puts rows of different classes together where the graph joins the rows.
        neighbours: of each row in the graph of ``"spectral"``; 10 as in scikit-learn.
        starts: runs of k-means from random centres, of which the best is kept; 10, since single starts differ by 0.01
            to 0.03 in NMI.
        seed: of the starts.

    Returns:
        ``(n,)`` int64 in [0, K). The numbers of the clusters have no meaning, and a cluster of equal rows may be empty.

    Raises:
        ValueError: shapes, numbers that are not finite, more clusters than rows, an unknown method.

    Through scikit-learn's ``KMeans`` and ``SpectralClustering``.

    Lloyd, Least Squares Quantization in PCM, 1982, https://doi.org/10.1109/TIT.1982.1056489; Ng et al., On Spectral
    Clustering, 2001, https://papers.nips.cc/paper/2001/hash/801272ee79cfde7fa5960571fee36b9b-Abstract.html

    >>> cluster([[0.0], [0.1], [5.0], [5.1]], 2).unique().tolist()
    [0, 1]
    """
    check(COUNT, clusters=clusters, neighbours=neighbours, starts=starts)
    check(FROM_0, seed=seed)
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}, got {method!r}.")
    x = feature_rows(features, least=1)
    check_clusters(clusters, len(x))
    return torch.from_numpy(found_clusters(x, int(clusters), method, int(neighbours), int(starts), int(seed)))


def check_clusters(clusters: int, rows: int) -> None:
    if clusters > rows:
        raise ValueError(f"`clusters` must be at most the {rows} rows, got {clusters}: give more rows.")


def found_clusters(
    x: numpy.ndarray, clusters: int, method: str, neighbours: int, starts: int, seed: int
) -> numpy.ndarray:
    """Return ``(n,)`` numbers of the clusters of checked rows."""
    import warnings

    from sklearn.cluster import KMeans, SpectralClustering
    from sklearn.exceptions import ConvergenceWarning

    if clusters == len(x):
        return numpy.arange(len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        if method == "k-means" or clusters == 1:
            return KMeans(clusters, n_init=starts, random_state=seed).fit_predict(x).astype(numpy.int64)
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        warnings.filterwarnings("ignore", message="The spectral clustering API has changed")
        made = SpectralClustering(
            clusters, affinity="nearest_neighbors", n_neighbors=min(neighbours, len(x)), n_init=starts,
            assign_labels="kmeans", random_state=seed,
        )  # fmt: skip
        return made.fit_predict(x).astype(numpy.int64)
