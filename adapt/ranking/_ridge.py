"""Leave-one-out ridge regression."""

import math

import torch
from torch import Tensor

from adapt.ranking.sample import Sample


def ridge(sample: Sample) -> Tensor:
    r"""Return for each row how well a linear head predicts the row, fitted to all other rows.

    .. math:: y_i - \hat y_i^{(-i)} = \frac{y_i - \hat y_i}{1 - h_i}, \qquad
        \hat Y = \tfrac1n 1 1^T Y + U \operatorname{diag}\Bigl(\frac{s^2}{s^2 + \lambda}\Bigr) U^T Y, \qquad
        h_i = \tfrac1n + \sum_k U_{ik}^2 \frac{s_k^2}{s_k^2 + \lambda}

    exactly, with :math:`U, s` of the centred features, an intercept without penalty, and one-hot targets for classes.
    :math:`\lambda` is the mean of :math:`s^2` times a power of ten from -6 to 3: the power with the least squared
    leave-one-out error.

    Returns:
        ``(n,)``. With classes: 1 where the largest prediction is the row's class, else 0; the mean is the leave-one-out
        accuracy. With values: :math:`1 - e_i^2 / \overline{e_0^2}`, e the error, :math:`e_0` the error of the mean of
        the other rows, and each column over its own scale; the mean is the leave-one-out :math:`R^2`, at most 1.

    The predicted class uses the mean of all rows as intercept, not the mean of the other rows. The mean of the other
    rows is least for the row's own class, and with features that say nothing every row would be wrong.

    The choice among ten :math:`\lambda` on the same rows makes the score a little optimistic. Rotation, scale and shift
    of the features do not change the score.

    Allen, The Relationship Between Variable Selection and Data Augmentation and a Method for Prediction, 1974,
    https://doi.org/10.1080/00401706.1974.10489157

    >>> ridge(Sample([[0.0], [0.1], [0.9], [1.0]], [0, 0, 1, 1]))
    tensor([1., 1., 1., 1.], dtype=torch.float64)
    """
    U, squares, n = sample.centred.left, sample.centred.squares, len(sample)
    mean = sample.Y.mean(0)
    alone = (sample.Y - mean) * n / (n - 1)  # errors of the mean of the other rows
    scale = torch.ones(()) if sample.y is not None else alone.square().mean(0).sqrt().clamp_min(1e-300)
    Z = sample.centred.project(sample.Y)
    best, errors = math.inf, alone
    for power in range(-6, 4):
        shrink = squares / (squares + squares.mean() * 10.0**power)
        residual = sample.Y - mean - U @ (shrink[:, None] * Z)
        left_out = residual / (1 - 1 / n - U.square() @ shrink)[:, None]
        loss = (left_out / scale).square().mean().item()
        if loss < best:
            best, errors = loss, left_out
    if sample.y is not None:
        prior = mean + (alone - sample.Y)  # the mean of all rows less the mean of the other rows
        return ((sample.Y - errors + prior).argmax(1) == sample.y).double()
    return 1 - (errors / scale).square().mean(1)
