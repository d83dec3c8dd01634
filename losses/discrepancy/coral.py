"""Correlation alignment."""

from typing import Literal

import torch
from torch import Tensor

from losses.batching import one_by_one
from losses.checks import at_least_float32, check_clouds, check_rows
from losses.gather import gather


def coral(
    source: Tensor,
    target: Tensor,
    *,
    scaling: Literal["deep_coral", "domainbed", "adatime"] = "deep_coral",
    global_batch: bool = True,
) -> Tensor:
    r"""Squared Frobenius distance between the covariances of two clouds (Deep CORAL).

    .. math:: \frac{1}{4 d^2} \lVert C_S - C_T \rVert_F^2, \qquad C = \frac{1}{n - 1} \sum_i (x_i - \bar x)(x_i - \bar x)^\top

    Args:
        source: ``(n, d)`` features.
        target: ``(m, d)`` features; n and m may differ.
        scaling: ``"deep_coral"``, the paper's, as above, and that of pytorch-adapt and skada. ``"domainbed"``, also tllib's:
            :math:`\frac{1}{d^2} \lVert C_S - C_T \rVert_F^2 + \frac1d \lVert \bar x - \bar y \rVert^2`. ``"adatime"``:
            :math:`\frac{1}{4 d^4} \lVert (n - 1) C_S - (m - 1) C_T \rVert_F^2`, which grows with the batch.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud; an unknown scaling.

    The smaller of two equal forms is computed: the d x d difference of covariances, or, for d > n + m, the (n + m) x
    (n + m) matrix of inner products. The gradient comes in closed form with it; a second derivative is taken from the
    definition. In the second form the value of nearly equal covariances is a rounding of their squared norms, and may be
    negative by as much.

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
    with torch.autocast(x.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        return weight * x.T @ x


def scatter_distance(x: Tensor, y: Tensor, weight_x: float, weight_y: float) -> Tensor:
    r"""Squared Frobenius distance between two weighted scatter matrices, with its gradient in closed form."""
    return _ScatterDistance.apply(x, y, weight_x, weight_y, torch.is_grad_enabled())[0]


class _ScatterDistance(torch.autograd.Function):
    vmap = one_by_one(lambda: _ScatterDistance)

    @staticmethod
    def forward(x, y, weight_x, weight_y, differentiate):
        with torch.autocast(x.device.type, enabled=False):
            form = _by_covariances if x.shape[1] <= x.shape[0] + y.shape[0] else _by_inner_products
            return form(x - x.mean(0), y - y.mean(0), weight_x, weight_y, differentiate)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, *ctx.weights, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, y, *output[1:])

    @staticmethod
    def backward(ctx, grad, *_):
        x, y, gx, gy = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            a, b = ctx.weights
            C = 4 * (scatter(x, a) - scatter(y, b))
            with torch.autocast(x.device.type, enabled=False):
                gx, gy = a * (x - x.mean(0)) @ C, -b * (y - y.mean(0)) @ C
        return grad * gx, grad * gy, None, None, None


def _by_covariances(A, B, a, b, differentiate):
    """The squared norm of C = a A'A - b B'B, and its gradients 4 a A C and -4 b B C. (A factor in `alpha` costs no pass.)"""
    d, size = A.shape[1], 512
    if d <= size:
        C = torch.addmm(_product(A.T, A, a), B.T, B, alpha=-b)
    else:  # C is symmetric: half of the products
        C = A.new_empty(d, d)
        for i in range(0, d, size):
            part = slice(i, i + size)
            C[part, i:] = torch.addmm(_product(A[:, part].T, A[:, i:], a), B[:, part].T, B[:, i:], alpha=-b)
            C[i + size :, part] = C[part, i + size :].T
    value = torch.linalg.vector_norm(C).square()
    return (value, _product(A, C, 4 * a), _product(B, C, -4 * b)) if differentiate else (value,)


def _by_inner_products(A, B, a, b, differentiate):
    """The same from AA', BB' and AB': a^2 |AA'|^2 + b^2 |BB'|^2 - 2 a b |AB'|^2."""
    AA, BB, AB = A @ A.T, B @ B.T, A @ B.T
    aa, bb, ab = (torch.linalg.vector_norm(K).square() for K in (AA, BB, AB))
    value = a * (a * aa - b * ab) + b * (b * bb - a * ab)
    if not differentiate:
        return (value,)
    gA = torch.addmm(_product(AA, A, 4 * a * a), AB, B, alpha=-4 * a * b)
    return value, gA, torch.addmm(_product(BB, B, 4 * b * b), AB.T, A, alpha=-4 * a * b)


def _product(A, B, factor):
    return torch.addmm(A.new_zeros(()), A, B, beta=0, alpha=factor)
