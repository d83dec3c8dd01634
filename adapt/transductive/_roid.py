"""Soft likelihood ratios of certain and diverse rows, near the source's weights."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, Tuner, entropy, plain
from losses.options import ABOVE_0, COUNT, POSITIVE, SHARE, check, or_none


def roid(
    *,
    rate: float = 1e-3,
    rows: int = 200,
    momentum: float = 0.99,
    temperature: float = 1 / 3,
    augment: Callable[[Tensor], Tensor] | None = None,
    share: float = 1.0,
    window: int | None = None,
) -> OnlineMethod:
    r"""Return the likelihood ratio of certain and diverse rows, weight ensembling and prior correction: ROID.

    .. math:: \min_{\gamma, \beta} \frac1n \sum_{i \in S} w_i \ell(p_i), \qquad
        \ell(p) = -\sum_k p_k \log \Bigl( \frac{p_k}{1 - p_k} + 10^{-5} \Bigr) \text{ with } p_k \le 0.99

    .. math:: w_i = \exp(d_i c_i / \tau), \qquad S = \{ i : d_i \ge \bar d \}

    d is :math:`1 - \cos(p_i, m)` with the running mean m of the probabilities (0.9 old, 0.1 new, 1/C at the start), c
    is the negative entropy, both scaled to [0, 1] in the batch. After the step of Adam the weights move back:
    :math:`\theta \leftarrow 0.99\, \theta + 0.01\, \theta^0`. The logits of the answers are multiplied by the smoothed
    mean prediction of the batch.

    Args:
        rate, rows: 1e-3 for batches of 200, as in the paper for CIFAR-10; smaller batches learn in proportion.
        momentum: 0.99 as in the paper.
        temperature: :math:`\tau`, 1/3 as in the paper.
        augment: a random change of the rows in S, for the consistency of the paper: the symmetric cross-entropy of the
            changed and the plain rows is added, with the weights w. None leaves the consistency out.
        share, window: of the statistics, as in :func:`adabn`; the paper takes the batch alone.

    A batch of one row has d = c = 0 and w = 1: the row learns. The prior correction makes all answers less sure, so a
    guard would always choose the source model, and is refused: take ``guard=None``.

    Raises:
        ValueError: options outside of the ranges; when the adapter is made: a model without normalisation weights.

    Marsden, Döbler and Yang, Universal Test-time Adaptation through Weight Ensembling, Diversity Weighting, and Prior
    Correction, 2024, https://arxiv.org/abs/2306.00650
    """
    check(POSITIVE, rate=rate, temperature=temperature)
    check(COUNT, rows=rows)
    check(ABOVE_0, momentum=momentum)
    check(SHARE, share=share)
    check(or_none(COUNT), window=window)
    if augment is not None and not callable(augment):
        raise TypeError(f"`augment` must be a function of rows, or None, got a {type(augment).__name__}.")
    own = {"momentum": momentum, "temperature": temperature, "augment": augment}
    return OnlineMethod("roid", {"rate": rate, "rows": rows, **own, "share": share, "window": window}, _Roid, False)


class _Roid(nn.Module):
    mean: Tensor

    def __init__(self, network: Network, momentum: float, temperature: float, augment: Any, **options: Any):
        super().__init__()
        self.tuner = Tuner(network, "roid", adam=True, **options)
        self.momentum, self.temperature, self.augment = momentum, temperature, augment
        classes, where = network.classes, self.tuner.learning[0].device
        self.register_buffer("mean", torch.full((classes,), 1 / classes, device=where))

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        if not learn:
            return plain(self.tuner.network, x)
        with torch.enable_grad():
            logits = self.tuner(x)
            p = logits.detach().softmax(1)
            d = _scaled(1 - F.cosine_similarity(self.mean[None], p))
            S = d >= d.mean()
            w = (d * _scaled(-entropy(logits.detach())) / self.temperature).exp()[S]
            self.mean = 0.9 * self.mean + 0.1 * p.mean(0)
            loss = (w * likelihood_ratio(logits[S])).sum()
            if self.augment is not None:
                loss = loss + (w * _symmetric(self.tuner(self.augment(x[S])), logits[S])).sum()
            self.tuner.step(loss / len(logits), len(logits))
        self.tuner.go_back(1 - self.momentum)
        prior = p.mean(0)
        smooth = max(1 / len(p), 1 / p.shape[1]) / prior.max()
        return (logits.detach() * (prior + smooth) / (1 + smooth * p.shape[1])).log_softmax(1)


def _scaled(values: Tensor) -> Tensor:
    """Return values in [0, 1], zeros where all values are equal."""
    return (values - values.min()) / (values.max() - values.min()).clamp_min(torch.finfo(values.dtype).tiny)


def likelihood_ratio(logits: Tensor) -> Tensor:
    """Return ``(n,)``, the negative soft likelihood ratio of each row."""
    p = logits.softmax(1).clamp(0, 0.99)
    return -(p * (p / (1 - p) + 1e-5).log()).sum(1)


def _symmetric(one: Tensor, other: Tensor) -> Tensor:
    """Return ``(n,)``, the symmetric cross-entropy of two sets of logits."""
    a, b = one.log_softmax(1), other.log_softmax(1)
    return -0.5 * (b.exp() * a).sum(1) - 0.5 * (a.exp() * b).sum(1)
