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
            A, B = (x - x.mean(0)) * weight_x**0.5, (y - y.mean(0)) * weight_y**0.5
            form = _by_covariances if x.shape[1] <= x.shape[0] + y.shape[0] else _by_inner_products
            value, gA, gB = form(A, B, differentiate)
        if not differentiate:
            return (value,)
        return value, gA.mul_(4 * weight_x**0.5), gB.mul_(4 * weight_y**0.5)

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


def _by_covariances(A, B, differentiate):
    """The squared norm of C = A'A - B'B and a quarter of its gradients, A C and -B C."""
    d, size = A.shape[1], 512
    if d <= size:
        C = A.T @ A - B.T @ B
    else:  # C is symmetric: half of the products
        C = A.new_empty(d, d)
        for i in range(0, d, size):
            part = slice(i, i + size)
            C[part, i:] = torch.addmm(A[:, part].T @ A[:, i:], B[:, part].T, B[:, i:], alpha=-1)
            C[i + size :, part] = C[part, i + size :].T
    return torch.linalg.vector_norm(C).square(), *((A @ C, (B @ C).neg_()) if differentiate else (None, None))


def _by_inner_products(A, B, differentiate):
    """The same from AA', BB' and AB': |AA'|^2 + |BB'|^2 - 2 |AB'|^2."""
    AA, BB, AB = A @ A.T, B @ B.T, A @ B.T
    norms = [torch.linalg.vector_norm(K).square() for K in (AA, BB, AB)]
    gradients = (AA @ A - AB @ B, BB @ B - AB.T @ A) if differentiate else (None, None)
    return (norms[0] - norms[2]) + (norms[1] - norms[2]), *gradients
