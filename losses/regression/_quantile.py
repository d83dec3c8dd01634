"""Quantile loss for forecasts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from losses.checks import at_least_float32
from losses.options import BETWEEN, check, each
from losses.reduce import mean


def quantile(
    predictions: Tensor, targets: Tensor, *, quantiles: Sequence[float], weights: Tensor | None = None
) -> Tensor:
    r"""Pinball loss, whose minimiser is the quantile of the target.

    .. math:: \frac{1}{nQ} \sum_i \sum_q \max\bigl( q\, u_{iq},\; (q - 1)\, u_{iq} \bigr),
              \qquad u_{iq} = y_i - \hat y_{iq}

    Args:
        predictions: ``(n, ..., Q)``, one prediction for each quantile, last dimension.
        targets: ``(n, ...)``.
        quantiles: Q numbers in (0, 1), such as ``(0.1, 0.5, 0.9)``.
        weights: ``(n, ...)``, not negative; booleans are a mask. Where it is 0 the target may be anything, NaN too.

    Returns:
        A scalar: the mean over rows, places and quantiles. Per rank: a weighted mean over rows and places. float32
        inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; quantiles outside (0, 1).

    Quantiles that cross are not penalised. At u = 0 the gradient is the one between the two sides,
    :math:`\tfrac12 - q`. The median's loss is half the mean absolute error; some libraries double the loss, others sum
    over the quantiles.

    Koenker and Bassett, Regression Quantiles, 1978, https://doi.org/10.2307/1913643

    >>> quantile(torch.zeros(2, 2), torch.tensor([1.0, -1.0]), quantiles=(0.1, 0.5))
    tensor(0.5000)
    """
    if predictions.ndim != targets.ndim + 1 or predictions.shape[:-1] != targets.shape or targets.numel() == 0:
        raise ValueError(
            "`predictions` must be (n, ..., quantiles) and `targets` (n, ...) with n >= 1, got "
            f"{tuple(predictions.shape)} and {tuple(targets.shape)}."
        )
    check(each(BETWEEN), quantiles=quantiles)
    if len(quantiles) != predictions.shape[-1]:
        raise ValueError(
            f"`quantiles` must be {predictions.shape[-1]} numbers in (0, 1), one for each prediction, got "
            f"{tuple(quantiles)}."
        )
    y_hat, y = at_least_float32(predictions), at_least_float32(targets)
    u = (y[..., None] - y_hat).unbind(-1)  # one quantile at a time: a tensor of them would be copied from the host
    values = torch.stack([torch.maximum(q * e, (q - 1) * e) for q, e in zip(quantiles, u, strict=True)])
    return mean(values.mean(0), weights)
