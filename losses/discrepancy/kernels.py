"""Radial kernels of two clouds: their profiles, bandwidths, and the mean that a discrepancy needs, in O(n d) memory."""

from collections.abc import Sequence
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from losses.batching import one_by_one
from losses.distances import mean, squared_distances

Kernel = Literal["gaussian", "laplacian", "energy"]
Bandwidth = float | Tensor | Literal["mean", "median", "source median"]


def bandwidth_of(x: Tensor, y: Tensor, bandwidth: Bandwidth) -> Tensor:
    """The squared bandwidth h as a 0-d tensor without gradient; never zero."""
    with torch.no_grad():
        if bandwidth == "mean":  # over all ordered pairs of the N pooled rows: twice their total variance
            n, m = x.shape[0], y.shape[0]
            mx, my = mean(x), mean(y)
            within = torch.linalg.vector_norm(x - mx).square() + torch.linalg.vector_norm(y - my).square()
            h = 2 / (n + m) * (within + n * m / (n + m) * torch.linalg.vector_norm(mx - my).square())
        elif bandwidth == "median":
            z = torch.cat([x, y])
            first, second = torch.triu_indices(z.shape[0], z.shape[0], 1, device=z.device).unbind()
            h = squared_distances(z)[first, second].median()
        elif bandwidth == "source median":
            if x.shape[0] < 3:
                raise ValueError(
                    '`bandwidth="source median"` needs at least 3 rows in `source`: of 2 rows, that median is zero.'
                )
            h = squared_distances(x).flatten().median()
        else:
            h = bandwidth.detach().to(x) if isinstance(bandwidth, Tensor) else x.new_full((), bandwidth)
        return h.clamp_min(1e8 * torch.finfo(x.dtype).tiny)  # all rows equal: D = 0, k = 1, and 1 / h is finite


def check_bandwidth(bandwidth: Bandwidth) -> None:
    """Raise unless `bandwidth` is a rule, a positive number or a tensor."""
    rules = ("mean", "median", "source median")
    if isinstance(bandwidth, str) and bandwidth not in rules:
        raise ValueError(f"`bandwidth` must be a positive number or one of {rules}, got {bandwidth!r}.")
    if isinstance(bandwidth, Tensor) and bandwidth.ndim > 0:
        raise ValueError(f"`bandwidth` must be one number, got a tensor of shape {tuple(bandwidth.shape)}.")
    if not isinstance(bandwidth, Tensor | str) and not (isinstance(bandwidth, Real) and bandwidth > 0):
        raise ValueError(f"`bandwidth` must be positive, got {bandwidth}.")


def check_scales(scales: Sequence[float]) -> None:
    """Raise unless there are scales and all are positive."""
    if isinstance(scales, Tensor) or not len(scales) or not all(c > 0 for c in scales):
        raise ValueError(f"`scales` must be positive numbers in a sequence, at least one, got {scales!r}.")


def profile(D: Tensor, kernel: Kernel, scales: Sequence[float], h: Tensor) -> Tensor:
    r"""The kernel as a function of squared distances.

    gaussian: mean over s of :math:`\exp(-D / (c_s h))`; laplacian: of :math:`\exp(-\sqrt{D} / (c_s \sqrt h))`;
    energy: :math:`-\sqrt{D}`. The root has derivative zero at D = 0.
    """
    if kernel == "gaussian":
        return sum((torch.exp(-D / h / c) for c in scales), D.new_zeros(())) / len(scales)
    r = torch.where(D > 0, D, torch.ones_like(D)).sqrt() * (D > 0)
    if kernel == "energy":
        return -r
    return sum((torch.exp(-r / h.sqrt() / c) for c in scales), D.new_zeros(())) / len(scales)


def matrix(x: Tensor, y: Tensor | None, kernel: Kernel, scales: Sequence[float], h: Tensor) -> Tensor:
    """The kernel matrix of two clouds, or of one with itself where `y` is None."""
    if kernel == "gaussian":
        return profile(squared_distances(x, y), kernel, scales, h)
    # no matrix product: a root magnifies its rounding where rows nearly coincide
    return profile((x[:, None] - (x if y is None else y)).square().sum(2), kernel, scales, h)


def discrepancy(
    layers: Sequence[tuple[Tensor, Tensor]],
    kernel: Kernel,
    scales: Sequence[Sequence[float]],
    hs: Sequence[Tensor],
    unbiased: bool,
) -> Tensor:
    r"""The definition: :math:`\mathbb{E} k(x, x') + \mathbb{E} k(y, y') - 2 \mathbb{E} k(x, y)`, k a product over layers.

    Builds the kernel matrices: O((n + m)^2) memory. :func:`fast_discrepancy` is the same number.
    """
    n, m = layers[0][0].shape[0], layers[0][1].shape[0]
    Kxx = Kyy = Kxy = torch.ones((), dtype=layers[0][0].dtype, device=layers[0][0].device)
    for (x, y), c, h in zip(layers, scales, hs, strict=True):
        Kxx, Kyy = Kxx * matrix(x, None, kernel, c, h), Kyy * matrix(y, None, kernel, c, h)
        Kxy = Kxy * matrix(x, y, kernel, c, h)
    if not unbiased:
        return Kxx.mean() + Kyy.mean() - 2 * Kxy.mean()
    within_x = (Kxx.sum() - Kxx.diagonal().sum()) / (n * (n - 1))
    within_y = (Kyy.sum() - Kyy.diagonal().sum()) / (m * (m - 1))
    return within_x + within_y - 2 * Kxy.mean()


def linear_time_discrepancy(
    layers: Sequence[tuple[Tensor, Tensor]], kernel: Kernel, scales: Sequence[Sequence[float]], hs: Sequence[Tensor]
) -> Tensor:
    """Means over disjoint pairs of neighbouring rows: (0, 1), (2, 3), ... in O(n d)."""
    Kxx = Kyy = Kxy = Kyx = torch.ones((), dtype=layers[0][0].dtype, device=layers[0][0].device)
    for (x, y), c, h in zip(layers, scales, hs, strict=True):
        common = min(x.shape[0], y.shape[0]) // 2 * 2
        x0, x1, y0, y1 = x[0 : len(x) // 2 * 2 : 2], x[1::2], y[0 : len(y) // 2 * 2 : 2], y[1::2]
        k = lambda a, b, c=c, h=h: profile((a - b).square().sum(1), kernel, c, h)  # noqa: E731
        Kxx, Kyy = Kxx * k(x0, x1), Kyy * k(y0, y1)
        Kxy, Kyx = Kxy * k(x[0:common:2], y[1:common:2]), Kyx * k(x[1:common:2], y[0:common:2])
    return Kxx.mean() + Kyy.mean() - Kxy.mean() - Kyx.mean()


def fast_discrepancy(
    layers: Sequence[tuple[Tensor, Tensor]],
    kernel: Kernel,
    scales: Sequence[Sequence[float]],
    hs: Sequence[Tensor],
    unbiased: bool,
) -> Tensor:
    """:func:`discrepancy` block by block, with its gradient in closed form: the kernel matrices are never held.

    Where a second derivative is asked for, the first is taken from the definition.
    """
    flat = [z for layer in layers for z in layer]
    return _Discrepancy.apply(
        kernel, tuple(map(tuple, scales)), unbiased, torch.is_grad_enabled(), len(layers), *flat, *hs
    )[0]


class _Discrepancy(torch.autograd.Function):
    vmap = one_by_one(lambda: _Discrepancy)

    @staticmethod
    def forward(kernel, scales, unbiased, differentiate, depth, *tensors):
        xs, ys, hs = tensors[0 : 2 * depth : 2], tensors[1 : 2 * depth : 2], tensors[2 * depth :]
        kernels = [_prepared(kernel, c, h) for c, h in zip(scales, hs, strict=True)]
        n, m, own = xs[0].shape[0], ys[0].shape[0], 1 if unbiased else 0
        gx, gy = ([torch.zeros_like(z) for z in zs] if differentiate else [] for zs in (xs, ys))
        middles = [mean(y) for y in ys]
        a = [x - mean(x) for x in xs]  # each cloud around its own mean
        b = [y - middle for y, middle in zip(ys, middles, strict=True)]
        c = [x - middle for x, middle in zip(xs, middles, strict=True)]  # the source around the mean of the target
        aa, bb, cc = ([torch.linalg.vector_norm(z, dim=1).square() for z in zs] for zs in (a, b, c))
        with torch.autocast(xs[0].device.type, enabled=False):
            within_x = _sum(a, aa, a, aa, kernels, 1 / (n * (n - own)), gx, gx, unbiased)
            within_y = _sum(b, bb, b, bb, kernels, 1 / (m * (m - own)), gy, gy, unbiased)
            across = _sum(c, cc, b, bb, kernels, -2 / (n * m), gx, gy, unbiased)
        return within_x + within_y + across, *(g for pair in zip(gx, gy, strict=True) for g in pair)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.definition, ctx.depth = inputs[:3], inputs[4]
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs[5:], *output[1:])

    @staticmethod
    def backward(ctx, grad, *_):
        depth, (kernel, scales, unbiased) = ctx.depth, ctx.definition
        tensors, grads = ctx.saved_tensors[: 3 * depth], ctx.saved_tensors[3 * depth :]
        if torch.is_grad_enabled():  # create_graph=True
            # views: one layer may depend on another, and its path must not be counted twice
            zs, hs = [z.view_as(z) for z in tensors[: 2 * depth]], tensors[2 * depth :]
            value = discrepancy(list(zip(zs[0::2], zs[1::2], strict=True)), kernel, scales, hs, unbiased)
            asked = iter(torch.autograd.grad(value, [z for z in zs if z.requires_grad], create_graph=True))
            grads = [next(asked) if z.requires_grad else None for z in zs]
        return *(None,) * 5, *(None if g is None else grad * g for g in grads), *(None,) * depth


def _sum(a, aa, b, bb, kernels, weight, ga, gb, unbiased):
    """`weight` times the sum of the kernel over all pairs of rows, (i, i) left out if `a` is `b` and `unbiased`.

    `a`, `b` hold one tensor for each layer, `aa`, `bb` the squared norms of its rows; the gradients are added to `ga`,
    `gb` where these are not empty.
    """
    itself = a is b
    n, m = a[0].shape[0], b[0].shape[0]
    size = 512 if a[0].device.type == "cpu" else 4096  # in the cache; wide for a GPU
    total = 0
    for i in range(0, n, size):
        for j in range(i if itself else 0, m, size):
            rows, columns, diagonal = slice(i, i + size), slice(j, j + size), itself and i == j
            w = 2 * weight if itself and not diagonal else weight
            Ks, Gs = [], []
            for layer, k in enumerate(kernels):
                t = _distances(a[layer][rows], aa[layer][rows], b[layer][columns], bb[layer][columns], k[0])
                if diagonal:
                    t.diagonal().zero_()
                K, G = _profile_and_slope(t, *k, 4 * w if diagonal else 2 * w, bool(ga))
                Ks.append(K)
                Gs.append(G)
            K = _product(Ks)
            if diagonal and unbiased:
                K.diagonal().zero_()
            total = total + w * K.sum()
            for layer in range(len(ga)):
                G = _product([Gs[layer], *Ks[:layer], *Ks[layer + 1 :]])
                ga[layer][rows].addcmul_(a[layer][rows], G.sum(1)[:, None]).addmm_(G, b[layer][columns], alpha=-1)
                if not diagonal:  # there G is symmetric, and the factor 4 counts both arguments
                    gb[layer][columns].addcmul_(b[layer][columns], G.sum(0)[:, None]).addmm_(
                        G.T, a[layer][rows], alpha=-1
                    )
    return total


def _distances(a, aa, b, bb, kernel):
    """What the kernel is a function of: squared distances by a matrix product; distances, where a root would magnify the
    rounding of nearly equal rows, from differences."""
    if kernel == "gaussian":
        return torch.addmm(bb[None], a, b.T, alpha=-2).add_(aa[:, None]).relu_()
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _product(factors):
    out = factors[0]
    for f in factors[1:]:
        out = out * f
    return out


def _prepared(kernel, scales, h):
    """What :func:`_profile_and_slope` needs of one layer, computed once for all blocks."""
    scales = sorted(scales, reverse=True)
    root = h if kernel == "gaussian" else h.sqrt()
    halves = [False, *(before == 2 * c for before, c in zip(scales, scales[1:], strict=False))]
    rates = [None if half else -1 / (c * root) for c, half in zip(scales, halves, strict=True)]
    return kernel, scales, rates, -1 / (len(scales) * root)


def _profile_and_slope(t, kernel, scales, rates, steepness, factor, slope):
    """:func:`profile` of a block and `factor` times its derivative by the squared distance, None if there is no `slope`.

    A scale that is half of the one before costs a square, not an exponential.
    """
    if kernel == "energy":
        return -t, (torch.where(t > 0, -0.5 * factor / t, 0) if slope else None)
    K = G = e = None
    for c, rate in zip(scales, rates, strict=True):
        e = e.mul_(e) if rate is None else (t * rate).exp_()
        K = e * (1 / len(scales)) if K is None else K.add_(e, alpha=1 / len(scales))
        if slope:
            G = e * (factor / c) if G is None else G.add_(e, alpha=factor / c)
    if not slope:
        return K, None
    G.mul_(steepness)
    return K, G if kernel == "gaussian" else torch.where(t > 0, G.div_(2 * t), 0)
