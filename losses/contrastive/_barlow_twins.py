"""Barlow Twins: the cross-correlation of two views should be the identity."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_same_shape, full_precision
from losses.contrastive._vicreg import centre_rows
from losses.options import AT_LEAST_0, check


def barlow_twins(
    first: Tensor, second: Tensor, *, redundancy: float = 0.0051, epsilon: float = 1e-5, global_batch: bool = True
) -> Tensor:
    r"""Squared distance of the features' cross-correlation matrix from the identity.

    .. math::
        \sum_k (1 - C_{kk})^2 + \lambda \sum_{k \ne l} C_{kl}^2, \qquad
        C_{kl} = \frac1n \sum_i \frac{\tilde x_{ik}}{\sqrt{\sigma^2(x_k) + \varepsilon}} \,
                 \frac{\tilde y_{il}}{\sqrt{\sigma^2(y_l) + \varepsilon}}

    with :math:`\tilde x` the rows less their mean and :math:`\sigma^2` the mean of their squares.

    Args:
        first: ``(n, d)`` features :math:`x` of one view.
        second: ``(n, d)`` features :math:`y` of the other view, in the same order.
        redundancy: :math:`\lambda`, 0.0051 as in the authors' code; the paper rounds it to 0.005.
        epsilon: :math:`\varepsilon`, 1e-5 as in the authors' code, whose standardisation is torch's ``BatchNorm1d``. 0
            is the paper's equation; a feature of zero variance then correlates with nothing and has no gradient.
        global_batch: gather the rows of all ranks first: mean and variance are those of all rows.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: views that differ in shape, fewer than two rows, or a negative epsilon.

    Related: :func:`losses.vicreg`.

    Zbontar et al., Barlow Twins, 2021, equations 1 and 2, https://arxiv.org/abs/2103.03230;
    https://github.com/facebookresearch/barlowtwins

    >>> barlow_twins(torch.zeros(4, 2), torch.zeros(4, 2))
    tensor(2.)
    """
    check_features("first", first)
    check_same_shape(first=first, second=second)
    check(AT_LEAST_0, epsilon=epsilon, redundancy=redundancy)
    x, y = at_least_float32(first), at_least_float32(second)
    if global_batch:
        x, y = gather(x), gather(y)
    n = x.shape[0]
    if n < 2:
        raise ValueError(f"The correlation needs at least 2 rows, got {n}; give larger batches.")
    x, y = _standardised(x, epsilon), _standardised(y, epsilon)
    with full_precision(x):
        C = x.T @ y / n
    diagonal = C.diagonal()
    return (1 - diagonal).square().sum() + redundancy * (C - torch.diag_embed(diagonal)).square().sum()


def _standardised(x: Tensor, epsilon: float) -> Tensor:
    x = centre_rows(x)
    variance = x.square().mean(0) + epsilon
    return x * torch.where(variance > 0, variance, torch.inf).rsqrt()
