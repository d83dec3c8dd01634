"""The Wasserstein distance between Gaussians fitted to two clouds."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_rows, full_precision
from losses.transport.first_order import with_gradient


def gaussian_wasserstein(source: Tensor, target: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Squared 2-Wasserstein distance between the Gaussians with the clouds' means and covariances.

    .. math::
        \lVert \mu_x - \mu_y \rVert^2 + \mathrm{tr}\, C_x + \mathrm{tr}\, C_y
            - 2\, \mathrm{tr} \bigl( C_x^{1/2} C_y C_x^{1/2} \bigr)^{1/2}, \qquad
        C = \frac{1}{n - 1} \sum_i (x_i - \mu)(x_i - \mu)^\top

    Also called the Fréchet or Bures-Wasserstein distance. With centred rows :math:`C_x = A^\top A` and
    :math:`C_y = B^\top B` the last trace is the sum of the singular values of :math:`A B^\top`: no root of a matrix is
    taken, and covariances that are not of full rank (n <= d) are exact.

    Args:
        source: ``(n, d)`` features.
        target: ``(m, d)`` features; n and m may differ.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float64 inside, float32 out; float64 out where it came so.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud.

    The gradient is exact where the distance has one. Where a singular value is zero it may have a kink, and the part of
    the kink gets no gradient; equal clouds have value and gradient zero. A second derivative is an error: it would need
    gaps between the singular values.

    POT's bures_wasserstein_distance is the root of this value, for given covariances; its empirical version divides
    by n instead of n - 1 and adds `reg`, 1e-6 unless set, to both diagonals.

    Related: :func:`losses.coral` compares covariances entry by entry and ignores the means.

    Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982,
    https://doi.org/10.1016/0047-259X(82)90077-X

    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> gaussian_wasserstein(x, 3 * x + 1).round(decimals=3)     # means 1 apart, variances 2 and 18: 1 + 2 + 18 - 12
    tensor(9.)
    """
    check_clouds(source, target)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    check_rows(x, y, "A covariance", "give larger batches")
    n, m = x.shape[0], y.shape[0]
    with torch.no_grad(), full_precision(x):
        # the singular values are products of two deviations: float32 loses the small ones
        u, v = x.detach().double(), y.detach().double()
        shift = (u - u[:1]).mean(0) - (v - u[:1]).mean(0)
        A, B = centred(u) / (n - 1) ** 0.5, centred(v) / (m - 1) ** 0.5
        singular, gradient_A, gradient_B = nuclear_norm_of_product(A, B)
        value = shift.square().sum() + A.square().sum() + B.square().sum() - 2 * singular
        gradient_x = 2 * shift / n + 2 * (A - gradient_A) / (n - 1) ** 0.5
        gradient_y = -2 * shift / m + 2 * (B - gradient_B) / (m - 1) ** 0.5
    return with_gradient(value.to(x.dtype), (x, gradient_x.to(x.dtype)), (y, gradient_y.to(y.dtype)))


def centred(x: Tensor) -> Tensor:
    """Rows less their mean; exactly zero where all rows are equal."""
    x = x - x[:1]
    return x - x.mean(0)


def nuclear_norm_of_product(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of the singular values of ``A @ B.T``, and its gradients with respect to `A` and `B`.

    ``A = Q R`` makes the decomposition one of at most d x d numbers. Singular values that are zero up to rounding have
    no direction and give no gradient.
    """
    (Q, R), (P, S) = torch.linalg.qr(A), torch.linalg.qr(B)
    U, singular, Vh = torch.linalg.svd(R @ S.mT, full_matrices=False)
    rounding = torch.finfo(A.dtype).eps * max(A.shape[0], B.shape[0], A.shape[1])
    positive = singular > rounding * singular.amax()
    W = (U * positive) @ Vh
    return singular.sum(), Q @ (W @ S), P @ (W.mT @ R)
