"""How far clusters agree with classes."""

from typing import Any, NamedTuple

from adapt.unsupervised.rows import class_rows


class ClusterScores(NamedTuple):
    """Agreement of clusters with classes.

    Attributes:
        ari: adjusted Rand index: 1 for equal groupings, 0 on average by chance.
        ami: adjusted mutual information: 1 for equal groupings, 0 on average by chance.
        nmi: mutual information over the mean of the entropies, in [0, 1]; above 0 by chance with many clusters.
        accuracy: share of rows whose cluster is matched with their class, under the best matching one to one.
        n: the rows with a class.
    """

    ari: float
    ami: float
    nmi: float
    accuracy: float
    n: int


def cluster_scores(clusters: Any, labels: Any) -> ClusterScores:
    r"""Compute how far the clusters of rows agree with their classes.

    The accuracy is :math:`\max_\pi \frac1n \sum_i [\pi(c_i) = y_i]` over matchings :math:`\pi` one to one of clusters
    with classes. Rows of a cluster without a class count as wrong.

    Args:
        clusters: ``(n,)`` numbers or names of the clusters.
        labels: ``(n,)`` numbers or names of the classes; -1 says that a class is missing, and the row does not count.

    Returns:
        :class:`ClusterScores`.

    Raises:
        ValueError: shapes, no row with a class, numbers that are not whole.

    Hubert and Arabie, Comparing Partitions, 1985, https://doi.org/10.1007/BF01908075; Vinh et al., 2010,
    https://jmlr.org/papers/v11/vinh10a.html; the matching: Kuhn, 1955, https://doi.org/10.1002/nav.3800020109

    >>> cluster_scores([0, 0, 1, 1], ["b", "b", "a", "a"])
    ClusterScores(ari=1.0, ami=1.0, nmi=1.0, accuracy=1.0, n=4)
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics

    c, y = class_rows("clusters", clusters), class_rows("labels", labels)
    if len(c) != len(y):
        raise ValueError(f"`clusters` and `labels` must have the same rows, got {len(c)} and {len(y)}.")
    if (c == -1).any():
        raise ValueError("`clusters` must give each row a cluster, got -1: leave these rows out.")
    c, y = c[y != -1], y[y != -1]
    if len(y) == 0:
        raise ValueError("`labels` must have a row with a class, got -1 alone.")
    table = metrics.cluster.contingency_matrix(y, c)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    ari, ami = metrics.adjusted_rand_score(y, c), metrics.adjusted_mutual_info_score(y, c)
    nmi = metrics.normalized_mutual_info_score(y, c)
    return ClusterScores(float(ari), float(ami), float(nmi), float(matched / len(y)), len(y))
