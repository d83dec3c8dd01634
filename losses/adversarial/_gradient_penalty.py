"""Keeps a critic 1-Lipschitz (WGAN-GP, WDGRL)."""

from collections.abc import Callable

import torch
from torch import Tensor

from losses.checks import at_least_float32, full_precision


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    source: Tensor,
    target: Tensor,
    *,
    mix: Tensor | None = None,
    generator: torch.Generator | None = None,
    ends: bool = False,
) -> Tensor:
    r"""How far the length of a critic's gradient is from 1, at random points between source and target.

    .. math::
        \frac1N \sum_{i=1}^N \bigl( \lVert \nabla c(\hat x_i) \rVert_2 - 1 \bigr)^2, \qquad
        \hat x_i = \alpha_i x_i + (1 - \alpha_i) y_i, \qquad N = \max(n, m)

    The norm is that of a row's gradient over all its dimensions. Rows are paired by index; the smaller domain starts
    again from its first row.

    Args:
        critic: any function from ``(N, ...)`` to one score a row, ``(N,)`` or ``(N, 1)``, each from its own row (no
            batch normalisation). It is called once, in float32.
        source: ``(n, ...)`` features :math:`x`.
        target: ``(m, ...)`` features :math:`y` of the same size.
        mix: ``(N,)`` numbers :math:`\alpha` in [0, 1]. Give these or `generator`.
        generator: draws them, uniform in [0, 1), on its own device: a CPU generator with features on a GPU copies N
            numbers to it in each call. The ranks' numbers may be equal or not.
        ends: also at `source` and at `target` themselves, N + n + m points in one mean, as in WDGRL. The default is
            that of WGAN-GP.

    Returns:
        A scalar, not negative. Per rank: a mean over points. On several ranks the pairs are those within a rank.
        float32 inside, whatever comes in: a caller's autocast is switched off around the critic.

    Raises:
        ValueError: shapes that do not fit; both or neither of `mix` and `generator`; a critic without one score a row.

    The gradient reaches the critic's parameters, and `source` and `target` where they ask for one: hand over detached
    features where only the critic is to learn. No ``.grad`` is touched. Works under ``torch.no_grad`` (a value without
    gradient). Where the critic is flat, the value is 1 and the gradient 0. The inner gradient is ``torch.func.vjp``,
    because ``torch.autograd.grad`` neither compiles nor batches: the critic must be one that ``torch.func`` can take
    (no old-style ``autograd.Function``, no checkpointing). ADAPT's WDGRL penalises each coordinate of the gradient
    instead of its norm.

    Related: :func:`losses.wasserstein_critic`.

    Gulrajani et al., Improved Training of Wasserstein GANs, 2017, equation 3, https://arxiv.org/abs/1704.00028;
    Shen et al. (WDGRL), 2018, https://arxiv.org/abs/1707.01217

    >>> x, alpha = torch.zeros(3, 4), torch.tensor([0.1, 0.5, 0.9])
    >>> gradient_penalty(lambda x: 2 * x.sum(1), x, x + 1, mix=alpha)  # length 4
    tensor(9.)
    """
    if min(source.ndim, target.ndim) < 2 or source.shape[1:] != target.shape[1:] or 0 in (*source.shape, *target.shape):
        raise ValueError(
            "`source` and `target` must be (n, ...) and (m, ...) of the same feature size with n >= 1 and m >= 1, "
            f"got {tuple(source.shape)} and {tuple(target.shape)}."
        )
    x, y = at_least_float32(source), at_least_float32(target)
    n, m = x.shape[0], y.shape[0]
    alpha = _mix(mix, generator, max(n, m)).to(x)
    rows = torch.arange(alpha.shape[0], device=x.device)
    alpha = alpha.reshape(-1, *[1] * (x.ndim - 1))
    points = alpha * x[rows % n] + (1 - alpha) * y[rows % m]
    if ends:
        points = torch.cat([points, x, y])

    with full_precision(x):
        scores, pull_back = torch.func.vjp(critic, points)  # type: ignore[misc]
        if scores.ndim not in (1, 2) or scores.numel() != points.shape[0] or scores.shape[0] != points.shape[0]:
            raise ValueError(
                f"`critic` must return one score a row, ({len(points)},) or ({len(points)}, 1), got "
                f"{tuple(scores.shape)}."
            )
        (gradient,) = pull_back(torch.ones_like(scores))
    squared = gradient.flatten(1).square().sum(1)
    norm = torch.where(squared == 0, 1, squared).sqrt() * (squared != 0)  # a root at 0 has no gradient
    return (norm - 1).square().mean()


def _mix(mix: Tensor | None, generator: torch.Generator | None, N: int) -> Tensor:
    if (mix is None) == (generator is None):
        raise ValueError("Give either `mix` or `generator`, got " + ("neither." if mix is None else "both."))
    if generator is not None:
        return torch.rand(N, generator=generator, device=generator.device)
    assert mix is not None
    if mix.shape != (N,):
        raise ValueError(f"`mix` must be ({N},), one number for each pair of rows, got {tuple(mix.shape)}.")
    return mix
