"""Joint maximum mean discrepancy."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_rows
from losses.discrepancy._mmd import check_estimator
from losses.discrepancy.kernels import (
    Bandwidth,
    bandwidth_of,
    check_bandwidth,
    check_scales,
    fast_discrepancy,
    linear_time_discrepancy,
)


def joint_mmd(
    source: Sequence[Tensor],
    target: Sequence[Tensor],
    *,
    scales: Sequence[float] | Sequence[Sequence[float]] = (0.25, 0.5, 1.0, 2.0, 4.0),
    bandwidth: Bandwidth | Sequence[Bandwidth] = "mean",
    estimator: Literal["unbiased", "biased", "linear_time"] = "unbiased",
    global_batch: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy between joint distributions of several layers (JMMD of JAN).

    .. math::
        \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y), \qquad
        k(x, y) = \prod_{\ell} \frac1{S} \sum_{s}
        \exp\Bigl( -\frac{\lVert x^\ell - y^\ell \rVert^2}{c^\ell_s\, h^\ell} \Bigr)

    Args:
        source: one ``(n, d_l)`` tensor for each layer, usually features and predicted probabilities.
        target: one ``(m, d_l)`` tensor for each layer; n and m may differ.
        scales: :math:`c_s`, for all layers, or one sequence for each.
        bandwidth: :math:`h`, for all layers, or a sequence with one for each; as in :func:`losses.mmd`, without
            gradient.
        estimator: as in :func:`losses.mmd`.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: numbers of layers or rows that differ, shapes that do not fit, fewer than two rows where the
            estimator needs two; a bandwidth or a scale that is not positive.

    Detach the probabilities if they should be seen but not moved. JAN's code gives the probabilities one kernel with
    the bandwidth fixed at 1.68, ``scales=[(0.25, 0.5, 1, 2, 4), (1,)], bandwidth=["mean", 1.68]``, and sums the kernels
    of a layer where the mean is taken here; its bandwidth leaves out a row with itself: h is larger by N / (N - 1).
    pytorch-adapt's value, see the table of :func:`losses.mmd`.

    Long et al., Deep Transfer Learning with Joint Adaptation Networks, 2017, eq. 8-9, https://arxiv.org/abs/1605.06636

    >>> f, p = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> float(joint_mmd([f, p], [f, p.flip(0)], estimator="biased")) > 0   # equal margins, another joint distribution
    True
    """
    if len(source) != len(target) or not source:
        raise ValueError(
            f"`source` and `target` must hold the same layers, at least one, got {len(source)} and {len(target)}."
        )
    nested = isinstance(scales, Sequence) and len(scales) > 0 and isinstance(scales[0], Sequence)
    every_scales: list = list(scales) if nested else [scales] * len(source)
    every_bandwidth = bandwidth if isinstance(bandwidth, list | tuple) else [bandwidth] * len(source)
    if not len(every_scales) == len(every_bandwidth) == len(source):
        raise ValueError(
            f"`scales` and `bandwidth` must be for all layers or one for each of the {len(source)} layers."
        )
    check_estimator(estimator)
    for x, y, c, h in zip(source, target, every_scales, every_bandwidth, strict=True):
        check_clouds(x, y)
        check_scales(c)
        check_bandwidth(h)
        if x.shape[0] != source[0].shape[0] or y.shape[0] != target[0].shape[0]:
            raise ValueError("The layers of a cloud must have the same rows, got different numbers.")
    layers = [(at_least_float32(x), at_least_float32(y)) for x, y in zip(source, target, strict=True)]
    if global_batch:
        layers = [(gather(x), gather(y)) for x, y in layers]
    if estimator != "biased":
        check_rows(*layers[0], f"The {estimator} estimator", 'give larger batches or ask for estimator="biased"')
    hs = [bandwidth_of(x, y, h) for (x, y), h in zip(layers, every_bandwidth, strict=True)]
    if estimator == "linear_time":
        return linear_time_discrepancy(layers, "gaussian", every_scales, hs)
    return fast_discrepancy(layers, "gaussian", every_scales, hs, estimator == "unbiased")
