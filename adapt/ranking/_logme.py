"""Log maximum evidence."""

import math

import torch
from torch import Tensor

from adapt.ranking.sample import Sample
from losses.options import BELOW_1, check

GOLDEN = (math.sqrt(5) - 1) / 2


def logme(sample: Sample, *, noise: float = 1e-6) -> Tensor:
    r"""Compute the evidence of the targets under a Bayesian linear head, at the best prior and noise: LogME.

    .. math:: \frac1c \sum_{j=1}^c \max_{\alpha, \beta} \frac1n \log
        \mathcal N\bigl(y_j;\, 0,\, \tfrac1\beta I + \tfrac1\alpha F F^T\bigr)

    With :math:`t = \alpha / \beta` and :math:`z = U^T y`, the best :math:`\beta` for a given t is known. The remaining
    search has one dimension: first a grid, then golden section, all columns at once:

    .. math:: \log p = -\tfrac12 \Bigl[ n \log \frac{2\pi}{\beta} + \sum_k \log \Bigl(1 + \frac{s_k^2}{t}\Bigr)
        + \beta q \Bigr], \qquad
        q = \sum_k \frac{t z_k^2}{t + s_k^2} + \|y\|^2 - \|z\|^2, \qquad \beta = \frac nq

    The sums run over the directions of the features, so nothing is counted twice where n < d or the rank is low. (The
    default of the published code counts d terms in the first sum and min(n, d) in the second.)

    Args:
        sample: with classes, each a column of 0 and 1 (classes without a row are left out), or values.
        noise: least :math:`1 / \beta` as a share of the column's mean square. Where a linear head fits the targets
            without error, the evidence has no upper bound and `noise` decides: the ranking is then by how little the
            weights have to grow. 1e-6 adds at most 6.9 to a score.

    Returns:
        ``()``. Compare scores of encoders on the same targets only. No intercept, as in the paper: rotation and scale
        of the features do not change the score, a shift does.

    Raises:
        ValueError: `noise` outside of [0, 1).

    You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning, 2021,
    https://arxiv.org/abs/2102.11005

    >>> clear, noisy = [[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3, [[1.0, 0.1], [0.0, 1.0]] * 3
    >>> bool(logme(Sample(clear, [0] * 3 + [1] * 3)) > logme(Sample(noisy, [0] * 3 + [1] * 3)))
    True
    """
    check(BELOW_1, noise=noise)
    n, s2 = len(sample), sample.spectrum.squares
    z2, total = sample.spectrum.project(sample.Y).square(), sample.Y.square().sum(0)
    rest, least = (total - z2.sum(0)).clamp_min(0), noise * total / n

    def evidence(q: Tensor, log_det: Tensor) -> Tensor:
        variance = torch.maximum(q / n, least)
        return -0.5 * (math.log(2 * math.pi) + variance.log() + log_det / n + q / (n * variance))

    def at(log_t: Tensor) -> Tensor:  # a value of t for each column
        t = log_t.exp()
        return evidence((z2 * (t / (t + s2[:, None]))).sum(0) + rest, (s2[:, None] / t).log1p().sum(0))

    # outside of this range the evidence is flat or falls: noise of `least` and weights of the size of the targets at
    # the low end, no weights at all at the high end
    lowest = math.log(s2[0]) + math.log(max(noise, 1e-12) / n) - 3
    grid = torch.arange(lowest, math.log(s2.sum()) + 14).double()
    t = grid.exp()[:, None]
    coarse = evidence((t / (t + s2)) @ z2 + rest, (s2 / t).log1p().sum(1, keepdim=True))
    low = grid[coarse.argmax(0)] - 1
    high = low + 2
    for _ in range(16):  # to 1e-3 of log t: the value, flat there, to 1e-7
        a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = at(a) > at(b)
        low, high = torch.where(left, low, a), torch.where(left, b, high)
    return torch.maximum(at((low + high) / 2), coarse.max(0).values).mean()
