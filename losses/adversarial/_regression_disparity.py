"""Disparity discrepancy for regression."""

import math

from torch import Tensor

from losses.checks import at_least_float32, check_same_shape, counted_logits
from losses.options import POSITIVE, check
from losses.reduce import mean


def regression_disparity(
    source_outputs: Tensor,
    source_adversarial_outputs: Tensor,
    target_outputs: Tensor,
    target_adversarial_outputs: Tensor,
    *,
    margin: float = 1.0,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""What the adversarial head minimises in regression: agree with the main head on source, disagree on target.

    .. math:: \gamma\, \frac1n \sum_i \lvert f'(x_i) - f(x_i) \rvert - \frac1m \sum_j \lvert f'(x_j) - f(x_j) \rvert

    with the absolute difference averaged over the outputs of a row. The value is the negative of the discrepancy: the
    adversarial head minimises it, and the encoder maximises it when its features reach that head through
    :func:`losses.reverse`, as in :func:`losses.margin_disparity`.

    Args:
        source_outputs: ``(n,)`` or ``(n, ...)``, the main head's :math:`f`, in comparable units. No gradient.
        source_adversarial_outputs: the same shape, :math:`f'`.
        target_outputs: ``(m,)`` or ``(m, ...)``.
        target_adversarial_outputs: the same shape as `target_outputs`.
        margin: :math:`\gamma`; 1, as in tllib, is the disparity discrepancy itself.
        source_weights: ``(n,)`` numbers, not negative, or booleans as a mask.
        target_weights: ``(m,)``.

    Returns:
        A scalar of either sign, unbounded below: bound the heads' outputs. Per rank: a mean over rows; with weights
        their sum is gathered (one number), so that the mean of the ranks' values is the weighted mean over all rows.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, no rows, no outputs or other outputs on target than on source, a margin that
            is not positive.

    A domain whose weights are all zero adds 0. tllib's ``RegressionMarginDisparityDiscrepancy`` returns the negative,
    which the adversarial head maximises.

    Zhang et al., Bridging Theory and Algorithm for Domain Adaptation, 2019,
    https://arxiv.org/abs/1904.05801

    >>> regression_disparity(torch.zeros(2), torch.ones(2), torch.zeros(3), 3 * torch.ones(3))
    tensor(-2.)
    """
    check(POSITIVE, margin=margin)
    check_same_shape(source_outputs=source_outputs, source_adversarial_outputs=source_adversarial_outputs)
    check_same_shape(target_outputs=target_outputs, target_adversarial_outputs=target_adversarial_outputs)
    outputs_s, outputs_t = (math.prod(f.shape[1:]) for f in (source_outputs, target_outputs))
    if outputs_s != outputs_t or outputs_s == 0:
        raise ValueError(
            "`source_outputs` and `target_outputs` must have the same number of outputs, at least 1, "
            f"got {outputs_s} and {outputs_t}."
        )
    gap_s = _row_gap(source_adversarial_outputs, source_outputs, source_weights, "source_weights")
    gap_t = _row_gap(target_adversarial_outputs, target_outputs, target_weights, "target_weights")
    return margin * mean(gap_s, source_weights) - mean(gap_t, target_weights)


def _row_gap(f1: Tensor, f: Tensor, weights: Tensor | None, name: str) -> Tensor:
    gap = (at_least_float32(f1) - at_least_float32(f).detach()).reshape(f.shape[0], -1)
    return counted_logits(gap, weights, name).abs().mean(1)
