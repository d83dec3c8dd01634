"""The part of the coding rate that the classes explain."""

import torch
from torch import Tensor

from adapt.ranking.sample import Sample
from losses.options import POSITIVE, check


def transrate(sample: Sample, *, epsilon: float = 1e-4) -> Tensor:
    r"""Compute the bits saved by coding the features class by class, at a total variance of 1: TransRate, normalised.

    .. math:: R(F) - \sum_c \frac{n_c}{n} R(F_c), \qquad
        R(F) = \tfrac12 \log \det \Bigl( I + \frac{F^T F}{n \epsilon} \Bigr)

    of the features minus their mean, scaled so that :math:`\operatorname{tr} F^T F = n`.

    Args:
        sample: with classes.
        epsilon: the distortion, as a share of the total variance; the paper's 1e-4.

    Returns:
        ``()``, at least 0 up to rounding. Rotation, scale and shift of the features do not change the score.

    Raises:
        Undefined: `values`.
        ValueError: `epsilon` that is not positive.

    The mean of all rows is taken off: two classes on either side of the mean, in one dimension, score 0. Without the
    scaling, the same features times 100 score twice as much. Some code has the plain mean over classes: unequal classes
    then drown the signal.

    Huang et al., Frustratingly Easy Transferability Estimation, 2022, https://arxiv.org/abs/2106.09362

    >>> rows = [[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0], [-1.0, -1.0], [-0.9, -1.0]]
    >>> transrate(Sample(rows, [0, 0, 1, 1, 2, 2])) > transrate(Sample(rows, [0, 1, 2, 0, 1, 2]))
    tensor(True)
    """
    check(POSITIVE, epsilon=epsilon)
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
