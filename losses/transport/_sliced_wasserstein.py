"""Sliced Wasserstein distances: one-dimensional transport along directions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, full_precision
from losses.options import AT_LEAST_1, COUNT, FROM_0, check
from losses.transport.weights import row_weights


def sliced_wasserstein(
    source: Tensor,
    target: Tensor,
    *,
    directions: int | Tensor = 128,
    generator: torch.Generator | None = None,
    power: float = 2,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""Mean over directions of the one-dimensional Wasserstein distance of the projected clouds, to its power.

    .. math:: \frac1K \sum_{k=1}^{K} \int_0^1 \bigl| F^{-1}_{\theta_k^\top x}(t)
              - F^{-1}_{\theta_k^\top y}(t) \bigr|^p \, dt

    with :math:`F^{-1}` the quantile functions; for n = m the mean over the sorted projections.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ, the integral is exact.
        directions: how many to draw, uniformly on the sphere; or ``(K, d)`` unit vectors :math:`\theta`, which are used
            as they are. 128 as in pytorch-adapt.
        generator: draws the directions (in float32, on its own device); needed where `directions` is a number. On
            several ranks it must be in the same state on each.
        power: :math:`p \ge 1`.
        source_weights: ``(n,)`` numbers that are not negative, or a mask; divided by their sum. No gradient.
        target_weights: ``(m,)``, the same for the target.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; a number of directions without a generator; a power below 1.

    All weights of a cloud zero gives 0. Twice differentiable for the powers 1, 2 and above: between 1 and 2 the second
    derivative is infinite where projections meet. Drawing from a generator is not compiled; with the directions as a
    tensor the loss compiles. pytorch-adapt's layer is the same for n = m and p = 2, except that it draws 128 directions
    whatever it is asked for. POT's sliced_wasserstein_distance is the p-th root of this value.

    Related: :func:`losses.max_sliced_wasserstein` takes the worst direction. On class probabilities this is the sliced
    Wasserstein discrepancy of Lee et al., 2019, https://arxiv.org/abs/1903.04064

    Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, 2015,
    https://doi.org/10.1007/s10851-014-0506-3

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> sliced_wasserstein(x, x + 2, directions=torch.eye(2))
    tensor(4.)
    """
    x, y, a, b, counts = _clouds(source, target, source_weights, target_weights, power, global_batch)
    theta = unit_directions(directions, generator, x)
    return along(theta, x, y, a, b, power).mean() * counts


def max_sliced_wasserstein(
    source: Tensor,
    target: Tensor,
    *,
    directions: int | Tensor = 128,
    generator: torch.Generator | None = None,
    steps: int = 10,
    power: float = 2,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""The one-dimensional Wasserstein distance, to its power, along the direction where it is largest.

    .. math:: \max_{\lVert \theta \rVert = 1} \int_0^1 \bigl| F^{-1}_{\theta^\top x}(t)
              - F^{-1}_{\theta^\top y}(t) \bigr|^p \, dt

    The maximum is searched, without gradient: from each of the `directions`, `steps` of normalised gradient ascent
    :math:`\theta \leftarrow \theta + \nabla / \lVert \nabla \rVert`, back to unit length. The best direction met is
    held; the gradient through the features is the right one at a maximum (envelope theorem).

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        directions: where to start: a number to draw, or ``(K, d)`` unit vectors.
        generator: draws the directions; needed where `directions` is a number. On several ranks it must be in the same
            state on each.
        steps: of the ascent; 0 takes the best of the directions given.
        power: :math:`p \ge 1`.
        source_weights: ``(n,)`` numbers that are not negative, or a mask; divided by their sum. No gradient.
        target_weights: ``(m,)``, the same for the target.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar: a lower bound of the maximum. Sees the global batch; gradient accumulation does not enlarge that
        batch. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; a number of directions without a generator; a power below 1; negative steps.

    All weights of a cloud zero gives 0. Drawing from a generator is not compiled. The paper finds the direction by
    gradient ascent on a discriminator; the start from many directions and the step are choices made here.

    Related: :func:`losses.sliced_wasserstein` takes the mean over directions.

    Deshpande et al., Max-Sliced Wasserstein Distance and its Use for GANs, 2019, https://arxiv.org/abs/1904.05877

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> max_sliced_wasserstein(x, x + torch.tensor([3.0, 4.0]), directions=torch.eye(2)).round(decimals=3)
    tensor(25.)
    """
    check(FROM_0, steps=steps)
    x, y, a, b, counts = _clouds(source, target, source_weights, target_weights, power, global_batch)
    theta = unit_directions(directions, generator, x)
    held = (x.detach(), y.detach(), a, b, power)
    slope = torch.func.grad(lambda theta: along(theta, *held).sum())
    with torch.no_grad():
        best, highest = theta, along(theta, *held)
        for _ in range(steps):
            theta = F.normalize(theta + F.normalize(slope(theta), dim=1), dim=1)
            value = along(theta, *held)
            best = torch.where((value > highest)[:, None], theta, best)
            highest = torch.maximum(value, highest)
        winner = best.index_select(0, highest.argmax(0, keepdim=True))
    return along(winner, x, y, a, b, power).sum() * counts


def along(theta: Tensor, x: Tensor, y: Tensor, a: Tensor | None, b: Tensor | None, power: float) -> Tensor:
    r"""``(K,)`` values of :math:`W_p^p` between ``(n, d)`` and ``(m, d)`` rows projected on ``(K, d)`` directions."""
    n, m = x.shape[0], y.shape[0]
    with full_precision(x):
        (p, order_p), (q, order_q) = (theta @ x.T).sort(1), (theta @ y.T).sort(1)  # each row is sorted where it lies
    if a is None and n == m:
        return _powered(p - q, power).mean(1)
    if a is None or b is None:
        ends_p = torch.arange(1, n + 1, device=x.device) * m  # where the steps of the quantile functions end, times n m
        ends_q = torch.arange(1, m + 1, device=x.device) * n
        i, j, width = segments(ends_p[None], ends_q[None])
        i, j, width = i[0], j[0], width.to(x.dtype) / (n * m)  # the same in all directions
        return (_powered(p.index_select(1, i) - q.index_select(1, j), power) * width).sum(1)
    ends_p, ends_q = (ends / ends[:, -1:] for ends in (a[order_p].cumsum(1), b[order_q].cumsum(1)))
    i, j, width = segments(ends_p, ends_q)
    return (_powered(p.gather(1, i) - q.gather(1, j), power) * width).sum(1)


def segments(ends_p: Tensor, ends_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The pieces on which two step functions are constant: the step of either, and the width, each ``(K, n + m)``.

    `ends_p` ``(K, n)`` and `ends_q` ``(K, m)`` ascend to the same last number. Pieces of width zero occur.
    """
    n, m = ends_p.shape[1], ends_q.shape[1]
    ends, order = torch.cat([ends_p, ends_q], 1).sort(1)
    of_p = (order < n).long()
    i = (of_p.cumsum(1) - of_p).clamp_max(n - 1)  # how many steps of p have ended before this piece
    j = ((1 - of_p).cumsum(1) - (1 - of_p)).clamp_max(m - 1)
    return i, j, ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))


def _powered(difference: Tensor, power: float) -> Tensor:
    return difference.square() if power == 2 else difference.abs() if power == 1 else difference.abs().pow(power)


def _clouds(source, target, source_weights, target_weights, power, global_batch):
    check_clouds(source, target)
    check(AT_LEAST_1, power=power)
    x, y = at_least_float32(source), at_least_float32(target)
    a = b = None
    counts = 1
    if source_weights is not None or target_weights is not None:
        a, some_a = row_weights("source_weights", source_weights, x, global_batch)
        b, some_b = row_weights("target_weights", target_weights, y, global_batch)
        counts = some_a * some_b
    if global_batch:
        x, y = gather(x), gather(y)
    if (
        a is not None and b is not None
    ):  # 0 times what a row that does not count holds would be NaN where it is not finite
        x, y = x.masked_fill(a[:, None] == 0, 0), y.masked_fill(b[:, None] == 0, 0)
    return x, y, a, b, counts


def unit_directions(directions: int | Tensor, generator: torch.Generator | None, x: Tensor) -> Tensor:
    """Return ``(K, d)`` unit vectors for ``(n, d)`` rows `x`: drawn where `directions` is a number, else as given."""
    d = x.shape[1]
    if isinstance(directions, Tensor):
        if directions.ndim != 2 or directions.shape[0] == 0 or directions.shape[1] != d:
            raise ValueError(f"`directions` must be (K, {d}) unit vectors, got shape {tuple(directions.shape)}.")
        return directions.detach().to(x)
    check(COUNT, directions=directions)
    if generator is None:
        raise ValueError(
            "`generator` must be given where `directions` is a number: a torch.Generator, in the same state on every "
            "rank; "
            "or give the directions themselves, (K, d) unit vectors."
        )
    drawn = torch.randn(directions, d, generator=generator, device=generator.device)
    return F.normalize(drawn.to(x), dim=1)
