"""Variance, invariance and covariance regularisation (VICReg)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_same_shape, full_precision
from losses.options import AT_LEAST_0, POSITIVE, check


def vicreg(
    first: Tensor,
    second: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    epsilon: float = 1e-4,
    global_batch: bool = True,
) -> Tensor:
    r"""Two views equal, each feature spread out, no two features correlated.

    .. math::
        \frac{\lambda}{nd} \sum_i \lVert x_i - y_i \rVert^2
        + \frac{\mu}{2} \bigl( v(x) + v(y) \bigr) + \nu \bigl( c(x) + c(y) \bigr)

    .. math::
        v(x) = \frac1d \sum_k \max\Bigl( 0,\; 1 - \sqrt{C(x)_{kk} + \varepsilon} \Bigr), \qquad
        c(x) = \frac1d \sum_{k \ne l} C(x)_{kl}^2

    with :math:`C(x)` the unbiased covariance of the rows.

    Args:
        first: ``(n, d)`` features :math:`x` of one view.
        second: ``(n, d)`` features :math:`y` of the other view, in the same order.
        invariance: :math:`\lambda`, 25 as in the paper.
        variance: :math:`\mu`, 25 as in the paper.
        covariance: :math:`\nu`, 1 as in the paper.
        epsilon: :math:`\varepsilon`, 1e-4 as in the authors' code: the root's gradient stays finite at zero variance.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: views that differ in shape, fewer than two rows, or an epsilon that is not positive.

    This is the authors' code, as is pytorch-metric-learning's. The paper's text sums the squared distance over the
    features and does not halve the variance term: for its value, `invariance` times d and `variance` times 2.

    Related: :func:`losses.barlow_twins`.

    Bardes et al., VICReg, 2022, section 4, https://arxiv.org/abs/2105.04906;
    https://github.com/facebookresearch/vicreg

    >>> vicreg(torch.zeros(4, 2), torch.zeros(4, 2))  # collapsed: 25 (1 - 0.01)
    tensor(24.7500)
    """
    check_features("first", first)
    check_same_shape(first=first, second=second)
    check(POSITIVE, epsilon=epsilon)
    check(AT_LEAST_0, invariance=invariance, variance=variance, covariance=covariance)
    x, y = at_least_float32(first), at_least_float32(second)
    if global_batch:
        x, y = gather(x), gather(y)
    if x.shape[0] < 2:
        raise ValueError(f"The covariance needs at least 2 rows, got {x.shape[0]}; give larger batches.")
    (v_x, c_x), (v_y, c_y) = _variance_and_covariance(x, epsilon), _variance_and_covariance(y, epsilon)
    return invariance * (x - y).square().mean() + variance * (v_x + v_y) / 2 + covariance * (c_x + c_y)


def _variance_and_covariance(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    n, d = x.shape
    centred = centre_rows(x)
    with full_precision(x):
        C = centred.T @ centred / (n - 1)
    variances = C.diagonal()
    v = (1 - (variances + epsilon).sqrt()).relu().mean()
    return v, (C - torch.diag_embed(variances)).square().sum() / d


def centre_rows(x: Tensor) -> Tensor:
    """`x` less its mean; the first row is taken off before, so that equal rows are zero exactly."""
    x = x - x[:1].detach()
    return x - x.mean(0)
