"""Leave-one-out ridge regression."""

import math

import torch
from torch import Tensor

from adapt.ranking.sample import Sample


def ridge(sample: Sample) -> Tensor:
    r"""Does a linear head fitted to all other rows get a row right?

    .. math:: y_i - \hat y_i^{(-i)} = \frac{y_i - \hat y_i}{1 - h_i}, \qquad
        \hat Y = \tfrac1n 1 1^T Y + U \operatorname{diag}\Bigl(\frac{s^2}{s^2 + \lambda}\Bigr) U^T Y, \qquad
        h_i = \tfrac1n + \sum_k U_{ik}^2 \frac{s_k^2}{s_k^2 + \lambda}

    exactly, with :math:`U, s` of the centred features, an intercept without penalty, and one-hot targets for classes.
    :math:`\lambda` is the mean of :math:`s^2` times a power of ten from -6 to 3: that of the least squared
    leave-one-out error.

    Returns:
        ``(n,)``. With classes 1 where the largest prediction is the right one: the mean is the leave-one-out
        accuracy. With values :math:`1 - e_i^2 / \overline{e_0^2}`, e the error and :math:`e_0` that of the other rows' mean, each
        column over its own scale: the mean is the leave-one-out :math:`R^2`, at most 1.

    In the predicted class the mean of all rows stands for the others': that of the others is least for the row's own class,
    and where features say nothing every row would be wrong.

    As one :math:`\lambda` of ten is picked on the same rows, it is optimistic by little. Does not change with rotation, scale or shift
    of the features.

    Allen, The Relationship Between Variable Selection and Data Augmentation and a Method for Prediction, 1974,
    https://doi.org/10.1080/00401706.1974.10489157

    >>> ridge(Sample([[0.0], [0.1], [0.9], [1.0]], [0, 0, 1, 1]))
    tensor([1., 1., 1., 1.], dtype=torch.float64)
    """
    U, squares, n = sample.centred.left, sample.centred.squares, len(sample)
    mean = sample.Y.mean(0)
    alone = (sample.Y - mean) * n / (n - 1)  # errors of the other rows' mean
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
        prior = mean + (alone - sample.Y)  # the mean of all rows less that of the others
        return ((sample.Y - errors + prior).argmax(1) == sample.y).double()
    return 1 - (errors / scale).square().mean(1)
