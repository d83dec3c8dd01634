"""A permutation test that two clouds of rows come from one distribution."""

import numpy
import torch
from torch import Tensor

from losses.discrepancy.kernels import bandwidth_of, matrix

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of losses.mmd


def mmd_test(x: Tensor, y: Tensor, permutations: int, draw: numpy.random.Generator) -> tuple[float, float]:
    """Return the unbiased squared MMD and the permutation p-value.

    The bandwidth is a function of all rows together: a permutation does not change the kernel matrix.
    """
    n, m = len(x), len(y)
    K = matrix(torch.cat([x, y]), None, "gaussian", SCALES, bandwidth_of(x, y, "mean")).numpy()
    numpy.fill_diagonal(K, 0)
    first = numpy.stack([numpy.arange(n + m) < n] + [draw.permutation(n + m) < n for _ in range(permutations)], 1)
    z = first.astype(float)
    toward = K @ z
    within, total = (z * toward).sum(0), K.sum()
    across = toward.sum(0) - within
    values = within / (n * (n - 1)) + (total - within - 2 * across) / (m * (m - 1)) - 2 * across / (n * m)
    rounding = 1e-12 * abs(values).max()
    return float(values[0]), float((1 + (values[1:] >= values[0] - rounding).sum()) / (1 + permutations))
