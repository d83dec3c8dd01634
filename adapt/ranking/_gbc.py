"""Overlap of the classes, each taken as a Gaussian."""

import math

import torch
from torch import Tensor

from adapt.ranking.sample import Sample, Undefined
from losses.options import COUNT, check


def gbc(sample: Sample, *, components: int = 64) -> Tensor:
    r"""Compute how little the classes overlap, each a Gaussian with diagonal covariance: GBC.

    .. math:: -\log \sum_{a \ne b} e^{-D_{ab}}, \qquad
        D_{ab} = \frac14 \sum_k \frac{(\mu_{ak} - \mu_{bk})^2}{v_{ak} + v_{bk}}
        + \frac12 \sum_k \log \frac{v_{ak} + v_{bk}}{2 \sqrt{v_{ak} v_{bk}}}

    in the first principal components. The paper has :math:`-\sum_{a \ne b} e^{-D_{ab}}`, with the same order of
    encoders. In floating point the sum of the paper is 0 for all encoders that separate the classes; the logarithm
    still tells these encoders apart.

    Args:
        sample: with classes.
        components: the paper's 64, or all components where the features have fewer.

    Returns:
        ``()``. Rotation, scale and shift of the features do not change the score.

    Raises:
        Undefined: `values`; no class with two rows.
        ValueError: `components` below 1.

    Variances are over :math:`n_c`. A class with a single row takes the mean variance within the other classes. No
    variance counts as less than 1e-6 of the component's variance.

    Pándy et al., Transferability Estimation using Bhattacharyya Class Separability, 2022,
    https://arxiv.org/abs/2111.12780

    >>> apart, mixed = [[0.0], [0.1], [1.0], [1.1]], [[0.0], [1.0], [0.1], [1.1]]
    >>> gbc(Sample(apart, [0, 0, 1, 1])) > gbc(Sample(mixed, [0, 0, 1, 1]))
    tensor(True)
    """
    check(COUNT, components=components)
    y = sample.need_classes("gbc")
    x = sample.centred.principal(components)
    counts = y.bincount()[:, None]
    if counts.max() < 2:
        raise Undefined("gbc needs a variance and every class has one row; label two of some class.")
    means = sample.Y.T @ x / counts
    squares = (x - means[y]).square()
    v = sample.Y.T @ squares / counts
    v = torch.where(counts > 1, v, squares.sum(0) / counts[counts > 1].sum())
    v = torch.maximum(v, 1e-6 * x.square().mean(0))
    overlaps = []
    for a in range(1, sample.classes):
        sums = v[:a] + v[a]
        distance = 0.25 * ((means[:a] - means[a]).square() / sums).sum(1)
        distance += 0.5 * (sums.log() - math.log(2) - 0.5 * (v[:a].log() + v[a].log())).sum(1)
        overlaps.append(-distance)
    return -(math.log(2) + torch.cat(overlaps).logsumexp(0))
