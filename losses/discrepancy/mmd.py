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
            pairs of the n + m rows, a row with itself included, without gradient. (DAN's code leaves those out: its h is
            larger by N / (N - 1) with N = n + m.)
        estimator: ``"unbiased"`` leaves the pairs (i, i) out of the first two means: for a given bandwidth its expected
            gradient is that of the populations, and it may be negative. ``"biased"`` keeps them: zero for equal clouds
            and, up to rounding, never negative.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud for the unbiased estimator; a bandwidth or a
            scale that is not positive.

    Identical rows everywhere give 0 with zero gradient. Definitions differ: DAN's code and tllib sum the kernels
    where the mean is taken here, and tllib adds 2 / (n - 1) to the unbiased value and writes the scales as
    2 alpha; DomainBed's is the biased value with seven fixed gammas, summed.

    Gretton et al., A Kernel Two-Sample Test, 2012, https://jmlr.org/papers/v13/gretton12a.html;
    Long et al., Learning Transferable Features with Deep Adaptation Networks, 2015, https://arxiv.org/abs/1502.02791

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd(x, x, estimator="biased")
    tensor(0.)
    """
    check_clouds(source, target)
    if not scales or min(scales) <= 0 or (isinstance(bandwidth, int | float) and bandwidth <= 0):
        raise ValueError(f"`scales` and `bandwidth` must be positive, got {tuple(scales)} and {bandwidth}.")
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    n, m = x.shape[0], y.shape[0]
    if estimator == "unbiased":
        check_rows(x, y, "The unbiased estimator", 'give larger batches or ask for estimator="biased"')
    elif estimator != "biased":
        raise ValueError(f'`estimator` must be "unbiased" or "biased", got {estimator!r}.')

    Dxx, Dyy, Dxy = squared_distances(x), squared_distances(y), squared_distances(x, y)
    if bandwidth is None:
        h = ((Dxx.sum() + Dyy.sum() + 2 * Dxy.sum()) / (n + m) ** 2).detach()
        h = h.clamp_min(torch.finfo(h.dtype).tiny)  # all rows equal: D = 0, k = 1
    else:
        h = torch.as_tensor(bandwidth, dtype=Dxy.dtype, device=Dxy.device)
    Kxx, Kyy, Kxy = (torch.stack([torch.exp(-D / h / c) for c in scales]).mean(0) for D in (Dxx, Dyy, Dxy))
    if estimator == "biased":
        return Kxx.mean() + Kyy.mean() - 2 * Kxy.mean()
    within_x, within_y = (Kxx.sum() - n) / (n * (n - 1)), (Kyy.sum() - m) / (m * (m - 1))  # k(x, x) = 1
    return within_x + within_y - 2 * Kxy.mean()


def squared_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""``(n, m)`` matrix of :math:`\lVert x_i - y_j \rVert^2`; of `x` with itself where `y` is None, zero on the diagonal.

    By one matrix product. The rows are moved to their centre first, which changes no distance and keeps what cancels
    small: the error is a rounding of the squared radius of the rows that are compared. The first row is taken off before
    the mean is, so that equal rows have distance zero exactly.
    """
    itself = y is None
    pooled = x if y is None else torch.cat([x, y])
    centre = pooled[:1].detach() + (pooled - pooled[:1]).mean(0, keepdim=True).detach()
    x, y = x - centre, x - centre if y is None else y - centre
    norms_x, norms_y = x.square().sum(1), y.square().sum(1)
    with torch.autocast(x.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        D = (norms_x[:, None] + norms_y[None, :] - 2 * x @ y.T).clamp_min(0)
    return D - torch.diag_embed(D.diagonal()) if itself else D
