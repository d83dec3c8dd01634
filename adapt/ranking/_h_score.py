"""Regularised H-score."""

from torch import Tensor

from adapt.ranking.sample import Sample


def h_score(sample: Sample) -> Tensor:
    r"""Compute the variance between classes as a share of all variance, with a shrunk covariance: regularised H-score.

    .. math:: \operatorname{tr}\bigl( \Sigma_\gamma^{-1} (1 - \gamma) \Sigma_B \bigr), \qquad
        \Sigma_\gamma = (1 - \gamma) \Sigma + \gamma \frac{\operatorname{tr} \Sigma}{d} I, \qquad
        \Sigma_B = \sum_c \frac{n_c}{n} (\mu_c - \mu)(\mu_c - \mu)^T

    with :math:`\gamma` of Ledoit and Wolf and all covariances over n. Class means lie in the span of the rows. With the
    singular vectors of the centred features, the trace is therefore a sum over at most min(n, d) directions:

    .. math:: (1 - \gamma)
        \sum_k \frac{s_k^2 \sum_c z_{kc}^2 / n_c}{(1 - \gamma) s_k^2 + \gamma\, n \operatorname{tr} \Sigma / d},
        \qquad z = U^T Y

    Args:
        sample: with classes.

    Returns:
        ``()`` in [0, classes - 1). Rotation, scale and shift of the features do not change the score.

    Raises:
        Undefined: `values`.

    The H-score without shrinkage is not offered: the value is classes - 1 for any features with n <= d.

    Ibrahim et al., Newer is not always better: Rethinking transferability metrics, their peculiarities, stability and
    performance, 2021, https://openreview.net/pdf?id=iz_Wwmfquno; Ledoit and Wolf, A well-conditioned estimator for
    large-dimensional covariance matrices, 2004, https://doi.org/10.1016/S0047-259X(03)00096-4

    >>> apart, mixed = [[0.0], [0.0], [1.0], [1.0]], [[0.0], [1.0], [0.1], [1.0]]
    >>> h_score(Sample(apart, [0, 0, 1, 1])) > h_score(Sample(mixed, [0, 0, 1, 1]))
    tensor(True)
    """
    y = sample.need_classes("h_score")
    s2 = sample.centred.squares
    gamma = shrinkage(sample)
    z2 = sample.centred.project(sample.Y).square()
    between = s2 * (z2 / y.bincount()).sum(1)
    return (1 - gamma) * (between / ((1 - gamma) * s2 + gamma * s2.sum() / sample.centred_features.shape[1])).sum()


def shrinkage(sample: Sample) -> Tensor:
    r"""Return Ledoit and Wolf's share of the identity.

    .. math:: \gamma = \min\Bigl(1,
        \frac{\frac1{n^2} \sum_i \|f_i - \mu\|^4 - \frac1n \|\Sigma\|^2}
        {\|\Sigma\|^2 - (\operatorname{tr} \Sigma)^2 / d}
        \Bigr)
    """
    n, d = sample.centred_features.shape
    variances = sample.centred.squares / n
    norm = variances.square().sum()
    noise = sample.centred_features.square().sum(1).square().sum() / n**2 - norm / n
    away = norm - variances.sum().square() / d
    return (noise / away.clamp_min(1e-300)).clamp(0, 1)
