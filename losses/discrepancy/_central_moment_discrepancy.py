"""Central moment discrepancy."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds
from losses.distances import middle
from losses.options import COUNT, NUMBER, check, each


def central_moment_discrepancy(
    source: Tensor,
    target: Tensor,
    *,
    moments: int = 5,
    interval: tuple[float, float] = (0.0, 1.0),
    global_batch: bool = True,
) -> Tensor:
    r"""Sum of the distances between the means and between the central moments of two clouds, feature by feature (CMD).

    .. math::
        \frac{\lVert \bar x - \bar y \rVert_2}{b - a}
        + \sum_{k=2}^{K} \frac{\lVert c_k(x) - c_k(y) \rVert_2}{(b - a)^k},
        \qquad c_k(x) = \frac1n \sum_i (x_i - \bar x)^k

    with powers taken feature by feature.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        moments: K, the highest moment. 5 as in the paper.
        interval: (a, b), the range of a feature. (0, 1), that of a sigmoid, is what the authors' code assumes; tanh
            needs (-1, 1). Only b - a matters. Features outside are allowed; their high moments grow with the power k.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than one moment; an empty interval.

    The norms are not squared: the gradient does not fade near equality. A norm that is zero has zero gradient.

    Related: :func:`losses.higher_order_moment_matching` compares the products of different features too.

    Zellinger et al., Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning, 2017,
    https://arxiv.org/abs/1702.08811

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> central_moment_discrepancy(x, x / 2, moments=2)         # means 1/2 and 1/4, variances 1/4 and 1/16
    tensor(0.4375)
    """
    check_clouds(source, target)
    check(COUNT, moments=moments)
    check(each(NUMBER), interval=interval)
    if len(interval) != 2 or not interval[0] < interval[1]:
        raise ValueError(f"`interval` must be (a, b) with a < b, got {interval}.")
    a, b = interval
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    origin = middle(x)  # moving it changes nothing, and rows that are all equal become exactly zero
    x, y = (x - origin) / (b - a), (y - origin) / (b - a)
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    differences = [mean_x - mean_y, *((x**k).mean(0) - (y**k).mean(0) for k in range(2, moments + 1))]
    return torch.stack([norm(v) for v in differences]).sum()


def norm(v: Tensor) -> Tensor:
    """Euclidean norm of a vector: zero gradient at zero, and no overflow in the squares."""
    size = v.detach().abs().amax()
    size = torch.where(size > 0, size, torch.ones_like(size))
    square = (v / size).square().sum()
    zero = square == 0
    root = torch.where(zero, torch.ones_like(square), square).sqrt()
    return size * torch.where(zero, torch.zeros_like(root), root)
