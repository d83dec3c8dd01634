"""Validators of pre-training without labels: the effective rank of features."""

from typing import Any

import torch
from torch import Tensor

from adapt.ranking import arrays
from losses.options import POSITIVE, check


def rank_me(features: Any, *, epsilon: float = 1e-7) -> float:
    r"""Compute RankMe, the exponential of the entropy of the singular values: an effective number of dimensions.

    .. math:: \exp\Bigl( -\sum_k p_k \log p_k \Bigr), \qquad p_k = \frac{\sigma_k}{\sum_l \sigma_l} + \varepsilon

    with the singular values :math:`\sigma` of the ``(n, d)`` features, as they are, without centring.

    Args:
        features: ``(n, d)``; the paper takes 25,600 rows, and n above d is needed for a value up to d.
        epsilon: :math:`\varepsilon`, 1e-7 as in the paper for float32.

    Returns:
        A number of at least 1; higher is better among runs of one method. A collapsed encoder has a value near 1.

    Raises:
        ValueError: shapes, numbers that are not finite, an epsilon that is not positive.

    RankMe compares settings of one pre-training method. Random features have a high rank: RankMe does not tell an
    untrained encoder from a good one. The scale of the features does not matter.

    Garrido et al., RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
    Rank, 2023, https://arxiv.org/abs/2210.02885

    >>> round(rank_me([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]]), 3)
    2.0
    """
    check(POSITIVE, epsilon=epsilon)
    Z = arrays.features("features", features)
    return _smooth_rank(torch.linalg.svdvals(_scaled(Z)), epsilon)


def lidar(views: Any, *, delta: float = 1e-4, epsilon: float = 1e-7) -> float:
    r"""Compute LiDAR, the effective rank of a linear discriminant analysis with one class for each row.

    .. math:: \exp\Bigl( -\sum_k p_k \log p_k \Bigr), \qquad p_k = \frac{\lambda_k}{\sum_l \lambda_l} + \varepsilon,
        \qquad \lambda = \mathrm{eig}\bigl( \Sigma_w^{-1/2} \Sigma_b \Sigma_w^{-1/2} \bigr)

    .. math:: \Sigma_b = \frac{1}{n - 1} \sum_i (\mu_i - \mu)(\mu_i - \mu)^\top, \qquad
        \Sigma_w = \frac{1}{n (q - 1)} \sum_i \sum_j (z_{ij} - \mu_i)(z_{ij} - \mu_i)^\top + \delta I

    with the features :math:`z_{ij}` of view j of row i, the mean :math:`\mu_i` of a row and the mean :math:`\mu` of
    all rows.

    Args:
        views: ``(n, q, d)`` features of q augmented views of n rows; the paper has n = 1,000 and q = 50 (10 for some
            methods). At least two rows and two views.
        delta: :math:`\delta`, 1e-4 as in the paper, in squared units of the features.
        epsilon: :math:`\varepsilon`, 1e-7 as in the paper.

    Returns:
        A number of at least 1; higher is better among runs of one method and augmentation.

    Raises:
        ValueError: shapes, numbers that are not finite, a delta or epsilon that is not positive.

    LiDAR ignores directions that vary between views of one row, which RankMe counts. `delta` makes the value depend on
    the scale of the features: compare features of one scale.

    Thilak et al., LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures, 2023,
    https://arxiv.org/abs/2312.04000

    >>> views = torch.tensor([[[1.0, 0.0], [1.0, 0.1]], [[-1.0, 0.0], [-1.0, 0.1]]])
    >>> round(lidar(views), 3)  # two rows differ in one direction
    1.0
    """
    check(POSITIVE, delta=delta, epsilon=epsilon)
    z = torch.as_tensor(views).detach()
    if z.ndim != 3 or z.shape[0] < 2 or z.shape[1] < 2 or z.shape[2] < 1:
        raise ValueError(
            f"`views` must be (n, q, d) features with n >= 2 rows of q >= 2 views, got shape {tuple(z.shape)}: stack "
            "the features of the views, `torch.stack(views, 1)`."
        )
    n, q, d = z.shape
    z = arrays.features("views", z.reshape(n * q, d)).view(n, q, d)
    means = z.mean(1)
    between, within = means - means.mean(0), (z - means[:, None]).reshape(n * q, d)
    Sw = within.T @ within / (n * (q - 1)) + delta * torch.eye(d, dtype=z.dtype)
    L = torch.linalg.cholesky(Sw)
    # the eigenvalues are those of the symmetric product: squares of singular values, never below 0
    whitened = torch.linalg.solve_triangular(L, between.T, upper=False)
    return _smooth_rank(torch.linalg.svdvals(whitened).square(), epsilon)


def _scaled(Z: Tensor) -> Tensor:
    """Return `Z` over its largest size: squares of 1e200 would not be finite."""
    largest = Z.abs().max()
    return Z / largest if largest > 0 else Z


def _smooth_rank(values: Tensor, epsilon: float) -> float:
    total = values.sum()
    p = (values / total if total > 0 else values) + epsilon
    return (-(p * p.log()).sum()).exp().item()
