"""Coding rate that the classes explain."""

import torch
from torch import Tensor

from adapt.ranking.sample import Sample


def transrate(sample: Sample, *, epsilon: float = 1e-4) -> Tensor:
    r"""Bits saved by coding the features class by class, at one total variance: TransRate, normalised.

    .. math:: R(F) - \sum_c \frac{n_c}{n} R(F_c), \qquad
        R(F) = \tfrac12 \log \det \Bigl( I + \frac{F^T F}{n \epsilon} \Bigr)

    of the features minus their mean, scaled so that :math:`\operatorname{tr} F^T F = n`.

    Args:
        sample: with classes.
        epsilon: the distortion, a share of the total variance once that is 1; the paper's 1e-4.

    Returns:
        ``()``, at least 0 but for rounding. Does not change with rotation, scale or shift of the features.

    Raises:
        Undefined: `values`.

    The mean that is taken off is that of all rows: two classes on either side of it, in one dimension, score 0. Without the scaling a hundredfold of the same features scores twice as much, and with the plain mean over classes that some code
    has, unequal classes drown the signal.

    Huang et al., Frustratingly Easy Transferability Estimation, 2022, https://arxiv.org/abs/2106.09362

    >>> rows = [[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0], [-1.0, -1.0], [-0.9, -1.0]]
    >>> transrate(Sample(rows, [0, 0, 1, 1, 2, 2])) > transrate(Sample(rows, [0, 1, 2, 0, 1, 2]))
    tensor(True)
    """
    y, n = sample.need_classes("transrate"), len(sample)
    total = sample.centred.squares.sum()
    rate = 0.5 * (sample.centred.squares / (total * epsilon)).log1p().sum()
    for c in range(sample.classes):
        F = sample.centred_features[y == c]
        gram = F @ F.T if F.shape[0] < F.shape[1] else F.T @ F
        scatter = gram * (n / (total * len(F) * epsilon))
        scatter.diagonal().add_(1)
        rate = rate - len(F) / n * torch.linalg.cholesky(scatter).diagonal().log().sum()
    return rate
