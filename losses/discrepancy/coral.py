"""Correlation alignment."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_clouds, check_rows
from losses.gather import gather


def coral(source: Tensor, target: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Squared Frobenius distance between the covariances of two clouds (Deep CORAL).

    .. math:: \frac{1}{4 d^2} \lVert C_S - C_T \rVert_F^2, \qquad C = \frac{1}{n - 1} \sum_i (x_i - \bar x)(x_i - \bar x)^\top

    Args:
        source: ``(n, d)`` features.
        target: ``(m, d)`` features; n and m may differ.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud.

    The scaling is the paper's, and pytorch-adapt's and skada's. tllib and DomainBed divide by :math:`d^2` and add the
    mean squared difference of the means; AdaTime leaves out 1/(n-1) and divides by :math:`4 d^4`.

    Sun and Saenko, Deep CORAL, 2016, eq. 1-3, https://arxiv.org/abs/1607.01719

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> coral(x, 2 * x)                              # variances 2 and 8
    tensor(9.)
    """
    check_clouds(source, target)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    check_rows(x, y, "A covariance", "give larger batches")
    d = x.shape[1]
    return (covariance(x) - covariance(y)).square().sum() / (4 * d * d)


def covariance(x: Tensor) -> Tensor:
    """``(d, d)`` sample covariance, divided by n - 1, of ``(n, d)`` rows."""
    x = x - x.mean(0)
    with torch.autocast(x.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        return x.T @ x / (x.shape[0] - 1)
