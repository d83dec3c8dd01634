"""Entropy minimisation by the weights of the normalisation layers."""

from typing import Any

import torch
from torch import Tensor, nn

from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, Tuner, entropy, plain
from losses.options import COUNT, POSITIVE, SHARE, check, or_none


def tent(*, rate: float = 1e-3, rows: int = 200, share: float = 1.0, window: int | None = None) -> OnlineMethod:
    r"""Return entropy minimisation by the weights and biases of the normalisation layers: TENT.

    .. math:: \min_{\gamma, \beta} \frac1n \sum_i H(p_i), \qquad H(p) = -\sum_k p_k \log p_k

    One step of Adam for each batch; the answers are of before the step. BatchNorm layers take the statistics of the
    batch; LayerNorm and GroupNorm layers learn as they are.

    Args:
        rate: learning rate, 1e-3 as in the paper for CIFAR-10.
        rows: of the batches that `rate` is for, 200; n < 200 rows learn with the rate times n / 200. Our choice.
        share, window: of the statistics, as in :func:`adabn`; the paper takes the batch alone.

    Without a reset the predictions may collapse onto few classes on a long stream (:func:`rdumb`), and rows of few
    classes in a batch mislead the statistics.

    Raises:
        ValueError: options outside of the ranges; when the adapter is made: a model without normalisation weights.

    Wang et al., Tent: Fully Test-Time Adaptation by Entropy Minimization, 2021, https://arxiv.org/abs/2006.10726
    """
    check(POSITIVE, rate=rate)
    check(COUNT, rows=rows)
    check(SHARE, share=share)
    check(or_none(COUNT), window=window)
    return OnlineMethod("tent", {"rate": rate, "rows": rows, "share": share, "window": window}, _Tent)


class _Tent(nn.Module):
    def __init__(self, network: Network, **options: Any):
        super().__init__()
        self.tuner = Tuner(network, "tent", adam=True, **options)

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        if not learn:
            return plain(self.tuner.network, x)
        with torch.enable_grad():
            logits = self.tuner(x)
            self.tuner.step(entropy(logits).mean(), len(logits))
        return logits.detach().log_softmax(1)
