"""Maximum mean discrepancy."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_rows
from losses.discrepancy.kernels import (
    Bandwidth,
    bandwidth_of,
    check_bandwidth,
    check_scales,
    fast_discrepancy,
    linear_time_discrepancy,
)
from losses.distances import centred


def mmd(
    source: Tensor,
    target: Tensor,
    *,
    kernel: Literal["gaussian", "laplacian", "energy", "linear"] = "gaussian",
    scales: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    bandwidth: Bandwidth = "mean",
    estimator: Literal["unbiased", "biased", "linear_time"] = "unbiased",
    global_batch: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy between two clouds; with its defaults, MK-MMD with five Gaussian kernels.

    .. math::
        \mathrm{MMD}^2 = \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y), \qquad
        k(x, y) = \frac1S \sum_{s=1}^{S} \exp\Bigl( -\frac{\lVert x - y \rVert^2}{c_s\, h} \Bigr)

    with :math:`c_s` from `scales` and :math:`h` the `bandwidth`.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        kernel: ``"gaussian"`` as above; ``"laplacian"``, the same with
            :math:`\exp(-\lVert x - y \rVert / (c_s \sqrt h))`; ``"energy"``, :math:`k = -\lVert x - y \rVert`, which
            makes it the energy distance; ``"linear"``, :math:`k = x^\top y`, which makes it the squared distance of the
            means. The last two use no scales and no bandwidth.
        scales: :math:`c_s`; five, a factor 2 apart, as in DAN's code. (The paper: 33, from 2^-8 to 2^8, around the
            median, with kernel weights that it optimises; here all weights are 1 / S.)
        bandwidth: :math:`h`, in units of squared distance, always without gradient. A number or a 0-d tensor, or a
            rule. ``"mean"``: the mean squared distance over all ordered pairs of the n + m rows, a row with itself
            included. (DAN's code leaves those out: its h is larger by N / (N - 1) with N = n + m.) ``"median"``: the
            median over the unordered pairs of different rows of the n + m, the lower one of two. ``"source median"``:
            over the ordered pairs of source rows, a row with itself included, as pytorch-adapt and skada take it. The
            medians build the distance matrix, and are zero where half of the pairs coincide (confident probabilities,
            dead units): then k is 1 for equal rows and 0 for others, and there is no gradient.
        estimator: ``"unbiased"`` leaves the pairs (i, i) out of the first two means: for a given bandwidth its expected
            gradient is that of the populations, and it may be negative. ``"biased"`` keeps them: zero for equal clouds
            and, up to rounding, never negative. ``"linear_time"`` is unbiased too, from disjoint pairs of neighbouring
            rows only: cheaper, noisier, and the order of the rows matters (give each rank an even number).
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows in a cloud where the estimator needs two; a bandwidth or
            a scale that is not positive; an unknown name.

    The gradient is exact and comes in closed form, block by block: O((n + m) d) memory, beside at most 12 MiB for a
    block (twice that in float64; 192 MiB on a GPU). A second derivative, forward mode, and a compiled or exported loss
    take the definition, which builds the kernel matrices. Identical rows everywhere give 0 with zero gradient; where
    two rows coincide, the Laplacian and the energy kernel have no derivative, and zero is used. The linear kernel's
    ``"linear_time"`` estimate of clouds of different sizes depends on the origin, as its definition does.

    Definitions differ. With S kernels, ``a`` for `mmd(x, y, ...)` and n = m:

    ============= ================================================================================
    pytorch-adapt ``scales=(1 / kernel_scales).tolist(), bandwidth="source median"``, and ``estimator="unbiased"``
                  for its ``"quadratic"``, ``"linear_time"`` for its ``"linear"``
    tllib (DAN)   ``S * a + 2 / (n - 1)`` with ``scales=2 * alphas`` and the bandwidth ``"mean"``
    skada         ``S * a`` with ``kernel="laplacian", estimator="biased", bandwidth=1.0, scales=sigmas``: its kernel
                  takes the distance where its name says Gaussian. Where its ``sigmas`` is None:
                  ``bandwidth="source median"`` and ``scales=[2 ** (-8 + i / 2) for i in range(33)]``
    DomainBed     ``S * a`` with ``scales=1 / gammas, bandwidth=1.0, estimator="biased"``
    ============= ================================================================================

    Gretton et al., A Kernel Two-Sample Test, 2012, https://jmlr.org/papers/v13/gretton12a.html;
    Long et al., Learning Transferable Features with Deep Adaptation Networks, 2015, https://arxiv.org/abs/1502.02791;
    Székely and Rizzo, Energy statistics, 2013, https://doi.org/10.1016/j.jspi.2013.03.018

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd(x, x, estimator="biased")
    tensor(0.)
    >>> mmd(x, x + 2, kernel="linear", estimator="biased")
    tensor(4.)
    """
    check_clouds(source, target)
    check_scales(scales)
    check_bandwidth(bandwidth)
    if kernel not in ("gaussian", "laplacian", "energy", "linear"):
        raise ValueError(f'`kernel` must be "gaussian", "laplacian", "energy" or "linear", got {kernel!r}.')
    check_estimator(estimator)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    if estimator != "biased":
        check_rows(x, y, f"The {estimator} estimator", 'give larger batches or ask for estimator="biased"')
    if kernel == "linear":
        return _linear(x, y, estimator)
    h = bandwidth_of(x, y, 1.0 if kernel == "energy" else bandwidth)
    if estimator == "linear_time":
        return linear_time_discrepancy([(x, y)], kernel, [scales], [h])
    return fast_discrepancy([(x, y)], kernel, [scales], [h], estimator == "unbiased")


def check_estimator(estimator: str) -> None:
    """Raise unless `estimator` is known."""
    if estimator not in ("unbiased", "biased", "linear_time"):
        raise ValueError(f'`estimator` must be "unbiased", "biased" or "linear_time", got {estimator!r}.')


def _linear(x: Tensor, y: Tensor, estimator: str) -> Tensor:
    """k = x . y needs no kernel matrix: the mean over all pairs is the product of the means."""
    n, m = x.shape[0], y.shape[0]
    if estimator == "linear_time":
        common = min(n, m) // 2 * 2
        within = (x[0 : n // 2 * 2 : 2] * x[1::2]).sum(1).mean() + (y[0 : m // 2 * 2 : 2] * y[1::2]).sum(1).mean()
        return within - (x[0:common:2] * y[1:common:2] + x[1:common:2] * y[0:common:2]).sum(1).mean()
    x, y = centred(x, y)
    if estimator == "biased":
        return (x.mean(0) - y.mean(0)).square().sum()
    within_x = (x.sum(0).square().sum() - x.square().sum()) / (n * (n - 1))
    within_y = (y.sum(0).square().sum() - y.square().sum()) / (m * (m - 1))
    return within_x + within_y - 2 * (x.mean(0) * y.mean(0)).sum()
