"""How much two classifiers disagree (MCD)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_same_shape, counted_logits
from losses.reduce import mean


def classifier_discrepancy(
    first_logits: Tensor,
    second_logits: Tensor,
    *,
    kind: Literal["l1", "symmetric_kl"] = "l1",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean difference between the class probabilities of two classifiers on the same rows.

    .. math:: \frac1n \sum_i \frac1C \sum_c \lvert p_{ic} - q_{ic} \rvert

    and for ``"symmetric_kl"`` :math:`\frac1n \sum_i \frac12 \sum_c (p_{ic} - q_{ic}) (\log p_{ic} - \log q_{ic})`, the
    mean of the two Kullback-Leibler divergences. On target rows the two heads maximise it and the encoder minimises it,
    in turns.

    Args:
        first_logits: ``(n, classes)`` or ``(n, classes, ...)``; p is their softmax.
        second_logits: the same shape; q is their softmax.
        kind: ``"l1"``, as in the paper, or ``"symmetric_kl"``, computed in the log domain.
        weights: ``(n,)``, or ``(n, ...)`` for dense logits (one for each place): numbers, not negative, or booleans as
            a mask.

    Returns:
        A scalar; ``"l1"`` lies in [0, 2 / C]. Symmetric; zero where the two agree. Per rank: a mean over rows; with
        weights their sum is gathered (one number), so that the mean of the ranks' values is the weighted mean over all
        rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, another `kind`.

    Related: :func:`losses.sliced_wasserstein_discrepancy` compares the two batches of predictions instead of row with
    row; :func:`losses.margin_disparity`. pytorch-adapt's ``MCDLoss`` has the same value.

    Saito et al., Maximum Classifier Discrepancy for Unsupervised Domain Adaptation, 2018,
    https://arxiv.org/abs/1712.02560

    >>> classifier_discrepancy(torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]]))
    tensor(1.)
    """
    check_dense_logits("first_logits", first_logits)
    check_same_shape(first_logits=first_logits, second_logits=second_logits)
    z, y = (counted_logits(at_least_float32(x), weights) for x in (first_logits, second_logits))
    if kind == "l1":
        p, q = z.softmax(1), y.softmax(1)
        return F.l1_loss(p, q) if weights is None else mean((p - q).abs().mean(1), weights)
    if kind == "symmetric_kl":
        # a class that both give -inf has log-probabilities -inf, whose difference is NaN: the least number instead
        log_p, log_q = (x.log_softmax(1).clamp_min(torch.finfo(x.dtype).min) for x in (z, y))
        return mean(0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1), weights)
    raise ValueError(f'`kind` must be "l1" or "symmetric_kl", got {kind!r}.')
