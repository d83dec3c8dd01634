"""Correlation alignment."""

from typing import Literal

import torch
from torch import Tensor

from losses._gather import gather
from losses.batching import one_by_one
from losses.checks import at_least_float32, check_clouds, check_rows, full_precision


def coral(
    source: Tensor,
    target: Tensor,
    *,
    scaling: Literal["deep_coral", "domainbed", "adatime"] = "deep_coral",
    global_batch: bool = True,
) -> Tensor:
    r"""Squared Frobenius distance between the covariances of two clouds (Deep CORAL).

    .. math:: \frac{1}{4 d^2} \lVert C_S - C_T \rVert_F^2,
              \qquad C = \frac{1}{n - 1} \sum_i (x_i - \bar x)(x_i - \bar x)^\top

    Args:
        source: ``(n, d)`` features.
        target: ``(m, d)`` features; n and m may differ.
        scaling: ``"deep_coral"``, the paper's, as above, and that of pytorch-adapt and skada. ``"domainbed"``, also
            tllib's: :math:`\frac{1}{d^2} \lVert C_S - C_T \rVert_F^2 + \frac1d \lVert \bar x - \bar y \rVert^2`.
            ``"adatime"``: :math:`\frac{1}{4 d^4} \lVert (n - 1) C_S - (m - 1) C_T \rVert_F^2`, which grows with the
            batch.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud; an unknown scaling.

    The smaller of two equal forms is computed: the d x d difference of covariances, or, for d > n + m, the (n + m) x
    (n + m) matrix of inner products. The gradient comes in closed form with it; a second derivative is taken from the
    definition. In the second form the value of nearly equal covariances is a rounding of their squared norms, and may
    be negative by as much.

    Sun and Saenko, Deep CORAL, 2016, eq. 1-3, https://arxiv.org/abs/1607.01719

    >>> x = torch.tensor([[0.0], [2.0]])
    >>> coral(x, 2 * x)                              # variances 2 and 8
    tensor(9.)
    """
    check_clouds(source, target)
    if scaling not in ("deep_coral", "domainbed", "adatime"):
        raise ValueError(f'`scaling` must be "deep_coral", "domainbed" or "adatime", got {scaling!r}.')
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    check_rows(x, y, "A covariance", "give larger batches")
    n, m, d = x.shape[0], y.shape[0], x.shape[1]
    if scaling == "adatime":
        return scatter_distance(x, y, 1.0, 1.0) / (4 * d**4)
    between = scatter_distance(x, y, 1 / (n - 1), 1 / (m - 1))
    if scaling == "deep_coral":
        return between / (4 * d**2)
    return between / d**2 + (x.mean(0) - y.mean(0)).square().mean()


def scatter(x: Tensor, weight: float) -> Tensor:
    """``(d, d)`` scatter matrix of ``(n, d)`` rows around their mean, times `weight`."""
    x = x - x.mean(0)
    with full_precision(x):
        return weight * x.T @ x


def scatter_distance(x: Tensor, y: Tensor, weight_x: float, weight_y: float) -> Tensor:
    r"""Squared Frobenius distance between two weighted scatter matrices, with its gradient in closed form."""
    try:
        return _ScatterDistance.apply(x, y, weight_x, weight_y)[0]
    except NotImplementedError:  # forward mode: torch.compile would not trace a function with a `jvp`
        return (scatter(x, weight_x) - scatter(y, weight_y)).square().sum()


class _ScatterDistance(torch.autograd.Function):
    """Forward keeps the small matrices, backward is one product with each: nothing as large as the clouds is held."""

    vmap = one_by_one(lambda: _ScatterDistance)

    @staticmethod
    def forward(x, y, weight_x, weight_y):
        with full_precision(x):
            form = _by_covariances if x.shape[1] <= x.shape[0] + y.shape[0] else _by_inner_products
            return form(x, y, weight_x, weight_y)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, *ctx.weights = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, y, *output[1:])

    @staticmethod
    def backward(ctx, grad, *_):
        x, y, *saved = ctx.saved_tensors
        a, b = ctx.weights
        with full_precision(x):
            if torch.is_grad_enabled():  # create_graph=True
                C = 4 * grad * (scatter(x, a) - scatter(y, b))
                gx, gy = a * (x - x.mean(0)) @ C, -b * (y - y.mean(0)) @ C
            elif len(saved) == 3:
                C, *middles = saved
                C = C * grad
                gx, gy = (_times(z, m, C, w) for z, m, w in ((x, middles[0], 4 * a), (y, middles[1], -4 * b)))
            else:
                A, B, AA, BB, AB = saved
                AB = AB * (grad * (-4 * a * b))
                gx = (AB @ B).addmm_(AA * grad, A, alpha=4 * a * a)
                gy = (AB.T @ A).addmm_(BB * grad, B, alpha=4 * b * b)
        return gx, gy, None, None


ROWS = 4096  # at a time


def _by_covariances(x, y, a, b):
    """The squared norm of C = a X'X - b Y'Y of the centred rows; C; the means. (A factor in `alpha` costs no pass.)"""
    d, size = x.shape[1], 512
    C, middles = x.new_zeros(d, d), (x.mean(0), y.mean(0))
    for z, weight, middle in ((x, a, middles[0]), (y, -b, middles[1])):
        for rows in z.split(ROWS):
            A = rows - middle
            for i in range(0, d, size):  # C is symmetric: half of the products
                C[i : i + size, i:].addmm_(A[:, i : i + size].T, A[:, i:], alpha=weight)
    for i in range(0, d - size, size):
        C[i + size :, i : i + size] = C[i : i + size, i + size :].T
    return torch.linalg.vector_norm(C).square(), C, *middles


def _times(z, middle, C, factor):
    """`factor` times the centred rows times C."""
    out = torch.empty_like(z)
    for rows, part in zip(z.split(ROWS), out.split(ROWS), strict=True):
        part.addmm_(rows - middle, C, beta=0, alpha=factor)
    return out


def _by_inner_products(x, y, a, b):
    """The same from AA', BB', AB' of the centred rows, and the three: a^2 |AA'|^2 + b^2 |BB'|^2 - 2 a b |AB'|^2."""
    A, B = x - x.mean(0), y - y.mean(0)
    AA, BB, AB = A @ A.T, B @ B.T, A @ B.T
    aa, bb, ab = (torch.linalg.vector_norm(K).square() for K in (AA, BB, AB))
    return a * (a * aa - b * ab) + b * (b * bb - a * ab), A, B, AA, BB, AB
