"""Class weights from class counts."""

import math

import torch
from torch import Tensor

from losses.options import SHARE, check


def balanced_class_weights(counts: Tensor, *, beta: float) -> Tensor:
    r"""Weights that are inverse to the effective number of rows of each class.

    .. math:: a_c \propto \frac{1 - \beta}{1 - \beta^{n_c}}, \qquad \sum_c a_c = |\{c : n_c > 0\}|

    :math:`\beta = 0` weighs all classes equally, :math:`\beta \to 1` by their inverse frequency; ``beta=1`` is that
    limit.

    Args:
        counts: :math:`n_c`, ``(classes,)`` rows of each class in the training set, whole or not, not negative. That is
            not checked: it would wait for the device.
        beta: in [0, 1]. The paper tries 0.9, 0.99, 0.999 and 0.9999, one for each data set.

    Returns:
        ``(classes,)`` weights with mean 1 over the classes that have rows; 0 for a class without. Not a loss: give them
        to :func:`losses.weighted_cross_entropy` or :func:`losses.focal` as `class_weights`. At least float32.

    Raises:
        ValueError: counts that are not one-dimensional; beta outside [0, 1].

    Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019, https://arxiv.org/abs/1901.05555

    >>> balanced_class_weights(torch.tensor([1, 3]), beta=1.0)
    tensor([1.5000, 0.5000])
    """
    if counts.ndim != 1 or counts.numel() == 0:
        raise ValueError(f"`counts` must be (classes,) with at least one class, got shape {tuple(counts.shape)}.")
    check(SHARE, beta=beta)
    n = counts.double()  # 1 - 0.9999 ** n loses half of float32's digits
    present = n != 0  # NaN stays NaN
    n = torch.where(present, n, 1)
    if beta == 1:
        a = 1 / n
    else:
        a = -1 / torch.expm1(n * (math.log(beta) if beta > 0 else -math.inf))
    a = torch.where(present, a, 0)
    a = a * present.sum() / torch.where(present.any(), a.sum(), 1)
    return a if counts.dtype == torch.float64 else a.float()
