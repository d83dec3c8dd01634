"""Radial kernels of two clouds: their profiles, bandwidths, and the mean that a discrepancy needs, in O(n d) memory."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from losses.batching import one_by_one
from losses.checks import full_precision
from losses.distances import mean, middle, squared_distances
from losses.options import POSITIVE, check, each

Kernel = Literal["gaussian", "laplacian", "energy"]
Bandwidth = float | Tensor | Literal["mean", "median", "source median"]


def bandwidth_of(x: Tensor, y: Tensor, bandwidth: Bandwidth) -> Tensor:
    """The squared bandwidth h as a 0-d tensor without gradient; never zero."""
    x, y = x.detach(), y.detach()  # `no_grad` alone would leave the tangents of forward mode
    with torch.no_grad():
        if bandwidth == "mean":  # over all ordered pairs of the N pooled rows: twice their total variance
            n, m = x.shape[0], y.shape[0]
            mx, my = mean(x), mean(y)
            within = torch.linalg.vector_norm(x - mx).square() + torch.linalg.vector_norm(y - my).square()
            h = 2 / (n + m) * (within + n * m / (n + m) * torch.linalg.vector_norm(mx - my).square())
        elif bandwidth == "median":
            z = torch.cat([x, y])
            itself = torch.eye(z.shape[0], dtype=torch.bool, device=z.device)
            h = squared_distances(z).masked_fill(itself, torch.nan).flatten().nanmedian()  # holds each pair twice
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
    if not isinstance(bandwidth, Tensor | str):
        check(POSITIVE, bandwidth=bandwidth)


def check_scales(scales: Sequence[float]) -> None:
    """Raise unless there are scales and all are positive."""
    check(each(POSITIVE), "give a list of numbers, `scales.tolist()` of a tensor", scales=scales)


def profile(D: Tensor, kernel: Kernel, scales: Sequence[float], h: Tensor) -> Tensor:
    r"""The kernel as a function of squared distances.

    gaussian: mean over s of :math:`\exp(-D / (c_s h))`; laplacian: of :math:`\exp(-\sqrt{D} / (c_s \sqrt h))`;
    energy: :math:`-\sqrt{D}`. The root has derivative zero at D = 0.
    """
    if kernel == "gaussian":
        return sum((torch.exp(-D / h / c) for c in scales), D.new_zeros(())) / len(scales)
    r = torch.where(D != 0, D, torch.ones_like(D)).sqrt() * (D != 0)
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
    r"""The definition: :math:`\mathbb{E} k(x, x') + \mathbb{E} k(y, y') - 2 \mathbb{E} k(x, y)`, k a product over
    layers.

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
        n, m = (z.shape[0] // 2 * 2 for z in (x, y))
        common = min(n, m)
        x0, x1, y0, y1 = x[0:n:2], x[1::2], y[0:m:2], y[1::2]
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

    Where a second derivative is asked for, the first is taken from the definition. So are forward mode, and a compiled
    or exported loss: blocks would be unrolled for one batch size.
    """
    if torch.compiler.is_compiling():
        return discrepancy(layers, kernel, scales, hs, unbiased)
    flat = [z for layer in layers for z in layer]
    try:
        return _Discrepancy.apply(
            kernel, tuple(map(tuple, scales)), unbiased, torch.is_grad_enabled(), len(layers), *flat, *hs
        )[0]
    except NotImplementedError:  # forward mode: torch.compile would not trace a function with a `jvp`
        return discrepancy(layers, kernel, scales, hs, unbiased)


class _Discrepancy(torch.autograd.Function):
    vmap = one_by_one(lambda: _Discrepancy)

    @staticmethod
    def forward(kernel, scales, unbiased, differentiate, depth, *tensors):
        xs, ys, hs = tensors[0 : 2 * depth : 2], tensors[1 : 2 * depth : 2], tensors[2 * depth :]
        kernels = [_prepared(kernel, c, h) for c, h in zip(scales, hs, strict=True)]
        n, m, own = xs[0].shape[0], ys[0].shape[0], 1 if unbiased else 0
        middles = [middle(y) for y in ys]
        x = _Cloud.around([middle(x) for x in xs], xs, differentiate)
        y = _Cloud.around(middles, ys, differentiate)
        moved = _Cloud.around(middles, xs, differentiate)  # between the clouds: both around the middle of y
        tiles = [
            *_tiles(x, x, 1 / (n * (n - own))),
            *_tiles(y, y, 1 / (m * (m - own))),
            *_tiles(moved, y, -2 / (n * m)),
        ]
        with full_precision(xs[0]):
            groups = list(_groups(tiles))
            area = max(sum(tile.area for tile in group) for group in groups)
            matrices = 1 + differentiate + (depth > 1 or max(map(len, groups)) > 1)
            work = [z.new_empty(matrices, area) for z in xs]  # once: a new page costs as much as a pass
            value = sum(_add(group, kernels, unbiased, differentiate, work) for group in groups)
        if not differentiate:
            return (value,)
        gx = [a.add_(b).mul_(k.steepness) for a, b, k in zip(x.gradients(), moved.gradients(), kernels, strict=True)]
        gy = [a.mul_(k.steepness) for a, k in zip(y.gradients(), kernels, strict=True)]
        return value, *(g for pair in zip(gx, gy, strict=True) for g in pair)

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


class _Cloud(NamedTuple):
    """For each layer: the rows z around some middle as ``[z, 1]``, their squared norms, and
    ``[sum_j G_ij z_j, sum_j G_ij]``, which becomes the gradient."""

    rows: list[Tensor]
    norms: list[Tensor]
    pulls: list[Tensor]

    @classmethod
    def around(cls, middles, layers, differentiate):
        rows = [z.new_empty(z.shape[0], z.shape[1] + 1) for z in layers]
        for z, origin, row in zip(layers, middles, rows, strict=True):
            torch.sub(z, origin, out=row[:, :-1])
            row[:, -1] = 1
        norms = [torch.linalg.vector_norm(z[:, :-1], dim=1).square() for z in rows]
        return cls(rows, norms, [torch.zeros_like(z) for z in rows] if differentiate else [])

    def gradients(self):
        """For each layer the sum over j of G_ij (z_j - z_i)."""
        pairs = zip(self.rows, self.pulls, strict=True)
        return [torch.addcmul(p[:, :-1], z[:, :-1], p[:, -1:], value=-1) for z, p in pairs]


class _Tile(NamedTuple):
    """Pairs of rows, their weight in the sum, and whether they are those of a block of rows with itself."""

    first: _Cloud
    second: _Cloud
    i: slice
    j: slice
    weight: float
    diagonal: bool

    @property
    def shape(self):
        return self.i.stop - self.i.start, self.j.stop - self.j.start

    @property
    def area(self):
        return math.prod(self.shape)


def _size(device):
    """Rows of a tile. Wide on a GPU. On a CPU a compromise: each operation waits for all threads, which a busy machine
    delays, and tiles beyond the cache are slow (`benchmarks/losses.md` has both)."""
    return 1024 if device.type == "cpu" else 4096


def _tiles(first, second, weight):
    """All pairs of rows of two clouds; of one with itself, a pair once and with twice the weight."""
    itself, n, m = first is second, first.rows[0].shape[0], second.rows[0].shape[0]
    size = _size(first.rows[0].device)
    for i in range(0, n, size):
        for j in range(i if itself else 0, m, size):
            diagonal = itself and i == j
            w = 2 * weight if itself and not diagonal else weight
            yield _Tile(first, second, slice(i, min(i + size, n)), slice(j, min(j + size, m)), w, diagonal)


def _groups(tiles):
    """Small tiles together, with kernels computed in one go: the cost of a launch is paid once. On a CPU a group stays
    within the cache."""
    device = tiles[0].first.rows[0].device
    most, group, area = 512**2 if device.type == "cpu" else _size(device) ** 2, [], 0
    for tile in tiles:
        if group and area + tile.area > most:
            yield group
            group, area = [], 0
        group, area = [*group, tile], area + tile.area
    yield group


def _add(tiles, kernels, unbiased, differentiate, work):
    """The weighted sum of the kernel over the pairs of `tiles`, pairs (i, i) left out if `unbiased`; adds the
    pulls, but for each layer's `steepness`. `work` is memory for each layer."""
    shapes, sizes = [tile.shape for tile in tiles], [tile.area for tile in tiles]
    pieces = lambda flat: [p.view(s) for p, s in zip(flat.split(sizes), shapes, strict=True)]  # noqa: E731
    weighted = lambda flat: sum(tile.weight * p.sum() for tile, p in zip(tiles, pieces(flat), strict=True))  # noqa: E731
    total, Ks, Gs = 0, [], []
    alone = len(kernels) == len(tiles) == 1  # then sums of terms cost less than a sum of matrices
    for layer, k in enumerate(kernels):
        t, *GK = work[layer][:, : sum(sizes)]
        for tile, D in zip(tiles, pieces(t), strict=True):
            _distances(tile, layer, k.kernel, D)
            if tile.diagonal:  # at infinity, k = 0
                D.diagonal().fill_(math.inf if unbiased and k.kernel != "energy" else 0)
        G = GK.pop(0) if differentiate else None
        terms = _terms(t.relu_(), k, G)
        if alone:
            total = sum(share * weighted(e) for share, e in terms)
        else:
            K = GK.pop(0).zero_()
            for share, e in terms:
                K.add_(e, alpha=share)
            Ks.append(K)
        Gs.append(G)
    if not alone:
        total = weighted(_product(Ks))
    if differentiate:
        for layer in range(len(kernels)):
            flat = _product([Gs[layer], *Ks[:layer], *Ks[layer + 1 :]])
            for tile, G in zip(tiles, pieces(flat), strict=True):
                # a block with itself: G is symmetric, and the factor 4 counts both arguments
                factor = (4 if tile.diagonal else 2) * tile.weight
                _attract(tile.first, tile.i, tile.second, tile.j, layer, G, factor)
                if not tile.diagonal:
                    _attract(tile.second, tile.j, tile.first, tile.i, layer, G.T, factor)
    return total


def _attract(cloud, i, other, j, layer, G, factor):
    """Add `factor` times G_ij [b_j, 1], summed over j, to the pulls."""
    cloud.pulls[layer][i].addmm_(G, other.rows[layer][j], alpha=factor)


def _distances(tile, layer, kernel, out):
    """What the kernel is a function of: squared distances by a matrix product; distances, where a root would magnify
    the rounding of nearly equal rows, from differences."""
    (a, aa), (b, bb) = (
        (c.rows[layer][r, :-1], c.norms[layer][r]) for c, r in ((tile.first, tile.i), (tile.second, tile.j))
    )
    if kernel == "gaussian":
        torch.add(aa[:, None], bb, out=out).addmm_(a, b.T, alpha=-2)
    else:
        out.copy_(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"))


def _product(factors):
    out = factors[0]
    for f in factors[1:]:
        out = out * f
    return out


class _Kernel(NamedTuple):
    """What :func:`_profile_and_slope` needs of one layer, computed once for all tiles."""

    kernel: Kernel
    scales: list[float]
    rates: list[Tensor | None]
    steepness: Tensor | float  # with the sign of the gradients of a cloud, which point from a row to the others


def _prepared(kernel, scales, h):
    if kernel == "energy":
        return _Kernel(kernel, [], [], -1.0)
    scales = sorted(scales, reverse=True)
    root = h if kernel == "gaussian" else h.sqrt()
    halves = [False, *(before == 2 * c for before, c in zip(scales, scales[1:], strict=False))]
    rates = [None if half else -1 / (c * root) for c, half in zip(scales, halves, strict=True)]
    return _Kernel(kernel, scales, rates, 1 / (len(scales) * root))


def _terms(t, kernel, G):
    """The terms of :func:`profile`, each with its share, one after the other in the same memory; with the last one,
    `G` (if not None) is the derivative by the squared distance divided by the `steepness`.

    A scale that is half of the one before costs a square, not an exponential.
    """
    if kernel.kernel == "energy":
        if G is not None:
            torch.where(t > 0, -0.5 / t, t.new_zeros(()), out=G)
        yield -1.0, t
        return
    last_use = kernel.kernel == "gaussian" and not any(rate is not None for rate in kernel.rates[1:])
    e = t if last_use else torch.empty_like(t)
    for number, (c, rate) in enumerate(zip(kernel.scales, kernel.rates, strict=True)):
        if rate is None:
            e.mul_(e)
        else:
            torch.mul(t, rate, out=e).exp_()
        if G is not None and number == 0:
            torch.mul(e, 1 / c, out=G)
        elif G is not None:
            G.add_(e, alpha=1 / c)
        yield 1 / len(kernel.scales), e
    if G is not None and kernel.kernel == "laplacian":
        torch.where(t > 0, G.div_(2 * t), t.new_zeros(()), out=G)
