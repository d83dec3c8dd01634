"""Gaussian likelihood for forecasts that say how sure they are."""

import math

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_same_shape, counted
from losses.options import POSITIVE, SHARE, check
from losses.reduce import mean


def gaussian_likelihood(
    means: Tensor,
    log_variances: Tensor,
    targets: Tensor,
    *,
    beta: float = 0.0,
    minimum_variance: float = 1e-6,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Negative log likelihood of the targets under predicted normal distributions, in nats.

    .. math::
        \frac1n \sum_i \sigma_i^{2 \beta}\, \tfrac12
        \Bigl( \log 2 \pi + s_i + \frac{(y_i - \mu_i)^2}{\sigma_i^2} \Bigr),
        \qquad \sigma_i^2 = e^{s_i}

    The first factor carries no gradient; with beta 0 it is 1 and this is the likelihood.

    Args:
        means: :math:`\mu`, ``(n, ...)``.
        log_variances: :math:`s`, the same shape: any finite number, so a linear layer will do. The logarithm of the
            variance, not of the standard deviation.
        targets: :math:`y`, the same shape.
        beta: :math:`\beta` in [0, 1]. 0 is the likelihood; the gradient of a mean is divided by its variance, and rows
            that are fitted badly are given up. 0.5 is the paper's advice; with 1 the means get the gradient of half
            the squared error.
        minimum_variance: s is raised to its logarithm in the value; the gradient passes as if it had not been, so a
            variance that has collapsed is not stuck. 1e-6 is torch's.
        weights: the same shape, not negative; booleans are a mask. Where it is 0 the target may be anything, NaN too.

    Returns:
        A scalar. Per rank: a weighted mean over rows and places. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; beta outside [0, 1]; a minimum variance that is not positive.

    The factor :math:`\sigma^{2 \beta}` is capped at e^60. The value may be negative. torch's
    ``gaussian_nll_loss(means, targets, s.exp(), full=True)`` is this with beta 0; its default leaves out log(2 pi) / 2,
    and a large s overflows in its ``exp``. With beta the value is no likelihood: compare models with beta 0.

    Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994,
    https://doi.org/10.1109/ICNN.1994.374138; Seitzer et al., On the Pitfalls of Heteroscedastic Uncertainty Estimation,
    2022, https://arxiv.org/abs/2203.09168

    >>> gaussian_likelihood(torch.zeros(1), torch.zeros(1), torch.zeros(1))        # log(2 pi) / 2
    tensor(0.9189)
    """
    check_same_shape(means=means, targets=targets)
    check_same_shape(means=means, log_variances=log_variances)
    check(POSITIVE, minimum_variance=minimum_variance)
    check(SHARE, beta=beta)
    mu, s, y = at_least_float32(means), at_least_float32(log_variances), counted(at_least_float32(targets), weights)
    s = s.clamp_min(math.log(minimum_variance)).detach() + (s - s.detach())
    rows = 0.5 * (math.log(2 * math.pi) + s + (y - mu).square() * torch.exp(-s))
    if beta > 0:
        rows = torch.exp((beta * s).clamp_max(60)).detach() * rows
    return mean(rows, weights)
