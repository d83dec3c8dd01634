"""Maximum mean discrepancy with a mixture of Gaussian kernels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_clouds, check_rows
from losses.gather import gather


def mmd(
    source: Tensor,
    target: Tensor,
    *,
    scales: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    bandwidth: float | Tensor | None = None,
    estimator: Literal["unbiased", "biased"] = "unbiased",
    global_batch: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy between two clouds, with a mean of Gaussian kernels (MK-MMD).

    .. math::
        \mathrm{MMD}^2 = \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y), \qquad
        k(x, y) = \frac1S \sum_{s=1}^{S} \exp\Bigl( -\frac{\lVert x - y \rVert^2}{c_s\, h} \Bigr)

    with :math:`c_s` from `scales` and :math:`h` the `bandwidth`.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        scales: :math:`c_s`; five, a factor 2 apart, as in DAN.
        bandwidth: :math:`h`, in units of squared distance. ``None`` takes the mean squared distance over all ordered
            pairs of the n + m rows (a row with itself included), without gradient, as DAN does.
        estimator: ``"unbiased"`` leaves the pairs (i, i) out of the first two means: its expected gradient is that of
            the populations, and it may be negative. ``"biased"`` keeps them: never negative, zero for equal clouds.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud for the unbiased estimator.

    Identical rows everywhere give 0 with zero gradient. Definitions differ: tllib's value is the unbiased one with
    its bandwidth from the same mean; DomainBed's is the biased one with seven fixed gammas, summed not averaged.

    Gretton et al., A Kernel Two-Sample Test, 2012, eq. 3 and 5, https://jmlr.org/papers/v13/gretton12a.html;
    Long et al., Learning Transferable Features with Deep Adaptation Networks, 2015, https://arxiv.org/abs/1502.02791

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd(x, x, estimator="biased")
    tensor(0.)
    """
    check_clouds(source, target)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    n, m = x.shape[0], y.shape[0]
    if estimator == "unbiased":
        check_rows(x, y, "The unbiased estimator", 'give larger batches or ask for estimator="biased"')
    elif estimator != "biased":
        raise ValueError(f'`estimator` must be "unbiased" or "biased", got {estimator!r}.')

    D = squared_distances(torch.cat([x, y]))
    h = D.detach().mean() if bandwidth is None else torch.as_tensor(bandwidth, dtype=D.dtype, device=D.device)
    h = h.clamp_min(torch.finfo(D.dtype).tiny)  # all rows equal: D = 0, k = 1
    K = torch.stack([torch.exp(-D / (c * h)) for c in scales]).mean(0)
    Kxx, Kyy, Kxy = K[:n, :n], K[n:, n:], K[:n, n:]
    if estimator == "biased":
        return Kxx.mean() + Kyy.mean() - 2 * Kxy.mean()
    within_x = (Kxx.sum() - Kxx.diagonal().sum()) / (n * (n - 1))
    within_y = (Kyy.sum() - Kyy.diagonal().sum()) / (m * (m - 1))
    return within_x + within_y - 2 * Kxy.mean()


def squared_distances(z: Tensor) -> Tensor:
    r"""``(N, N)`` matrix of :math:`\lVert z_i - z_j \rVert^2` for ``(N, d)`` rows.

    By one matrix product on centred rows: distances do not change and nothing large cancels.
    """
    z = z - z.mean(0)
    norms = z.square().sum(1)
    with torch.autocast(z.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        return (norms[:, None] + norms[None, :] - 2 * z @ z.T).clamp_min(0)
