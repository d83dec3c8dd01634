"""Agreement between clusters of the target's features and predicted classes."""

import warnings
from typing import Any

import torch
from torch import Tensor

from adapt.ranking import arrays
from losses.options import COUNT, FROM_0, check


def class_ami(target_features: Any, target_logits: Any, *, starts: int = 3, seed: int = 0) -> float:
    r"""Compute the adjusted mutual information between k-means clusters and predicted classes: ClassAMI.

    .. math:: \mathrm{AMI}(\hat y, k) = \frac{I(\hat y; k) - \mathbb E\, I}{\frac12 (H(\hat y) + H(k)) - \mathbb E\, I},
        \qquad \hat y_i = \arg\max_c z_{ic}

    with :math:`k` the k-means clusters of the features, as many centres as classes, and the expectation over random
    labelings with the same counts.

    Args:
        target_features: ``(n, d)``.
        target_logits: ``(n, classes)``.
        starts: number of k-means++ starts; the start with the least inertia counts. The paper has 1; 3 halve the noise.
        seed: of the starts.

    Returns:
        A number in about [0, 1]; higher is better, 0 is chance. Also 0 where all rows have the same predicted class or
        the same features.

    Raises:
        ValueError: shapes, numbers that are not finite.

    pytorch-adapt's ``ClassClusterValidator`` is not used. The validator draws the start from numpy's global generator,
    so two calls differ, and a collapsed model (one class, equal features) scores 1, the best possible value.

    Fails where features form clusters that are not the classes (a method that sharpens wrong clusters scores high).

    Musgrave et al., 2022, section 3.3, https://arxiv.org/abs/2208.07360

    >>> class_ami([[0.0], [0.1], [5.0], [5.1]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    1.0
    """
    f, z = arrays.features("target_features", target_features), arrays.logits("target_logits", target_logits)
    arrays.same_rows("target_features", f, "target_logits", z)
    check(COUNT, starts=starts)
    check(FROM_0, seed=seed)
    return mutual_information(z.argmax(1), clusters(f, z.shape[1], starts=starts, seed=seed))


def clusters(features: Tensor, count: int, *, starts: int = 3, seed: int = 0) -> Tensor:
    """Return ``(n,)`` k-means clusters of ``(n, d)`` features; fewer than `count` where fewer rows differ."""
    from sklearn.cluster import KMeans

    distinct = len(features.unique(dim=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows that differ by rounding alone: fewer clusters, no harm
        means = KMeans(min(count, distinct), n_init=starts, random_state=seed).fit(features.numpy())
    return torch.from_numpy(means.labels_)


def mutual_information(a: Tensor, b: Tensor) -> float:
    """Return the adjusted mutual information of two ``(n,)`` labelings; 0 where a labeling has a single class.

    The reference in the tests is scikit-learn's ``adjusted_mutual_info_score``, which spends more time on checks of the
    arguments than on the result; a choice among K models asks K^2 times.
    """
    a, b = a.unique(return_inverse=True)[1], b.unique(return_inverse=True)[1]
    rows, columns, n = int(a.max()) + 1, int(b.max()) + 1, len(a)
    if rows == 1 or columns == 1:
        return 0.0
    counts = torch.bincount(a * columns + b, minlength=rows * columns).double().view(rows, columns)
    r, c = counts.sum(1), counts.sum(0)
    found = (counts / n * (n * counts / (r[:, None] * c)).clamp_min(1e-300).log()).sum()
    by_chance = _expected(r.long(), c.long(), n)
    entropies = -(r / n * (r / n).log()).sum() - (c / n * (c / n).log()).sum()
    room = 0.5 * entropies - by_chance
    return float((found - by_chance) / room) if room > 1e-12 else 0.0


def _expected(r: Tensor, c: Tensor, n: int) -> Tensor:
    r"""Return the mutual information of random labelings with counts `r` and `c`.

    .. math:: \sum_{ij} \sum_k P(k)\, \frac kn \log \frac{nk}{r_i c_j}, \qquad k \text{ hypergeometric}
    """
    log_factorial = torch.lgamma(torch.arange(n + 1).double() + 1)
    total = torch.zeros(()).double()
    for i in r:
        k = torch.arange(1, int(torch.minimum(i, c.max())) + 1)
        possible = (k <= c[:, None]) & (k >= i + c[:, None] - n)
        left, neither = (c[:, None] - k).clamp_min(0), (n - i - c[:, None] + k).clamp_min(0)
        log_p = (
            (log_factorial[i] + log_factorial[n - i] - log_factorial[n] - log_factorial[k] - log_factorial[i - k])
            + (log_factorial[c] + log_factorial[n - c])[:, None] - log_factorial[left] - log_factorial[neither]
        )  # fmt: skip
        share = k.double() / n
        term = share * (share * n**2 / (i * c[:, None])).log() * log_p.exp()
        total += term.where(possible, 0.0).sum()
    return total
