"""Entropy minimisation on reliable and non-redundant rows, near the weights that mattered on the source."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, Tuner, entropy, normalisation_weights, plain
from losses.options import AT_LEAST_0, COUNT, POSITIVE, SHARE, check, or_none


def eata(
    *,
    rate: float = 5e-3,
    rows: int = 64,
    reliable: float = 0.4,
    redundant: float = 0.4,
    source: Tensor | None = None,
    strength: float = 1.0,
    share: float = 1.0,
    window: int | None = None,
) -> OnlineMethod:
    r"""Return entropy minimisation on reliable, non-redundant rows, with a Fisher anchor: EATA.

    .. math:: \min_{\gamma, \beta} \frac{1}{|S|} \sum_{i \in S} e^{E_0 - H(p_i)} H(p_i)
        + \lambda \sum_j \omega_j (\theta_j - \theta^0_j)^2

    .. math:: S = \{ i : H(p_i) < E_0,\ |\cos(p_i, m)| < \epsilon \}, \qquad E_0 = r \log C, \qquad
        \omega_j = \frac1Q \sum_q (\partial_{\theta_j} \mathrm{CE}(x_q, \hat y_q))^2

    m is the running mean of the probabilities of the rows that learned (0.9 old, 0.1 new). The weight of a row has no
    gradient. One step of SGD with momentum 0.9 for each batch with a row in S.

    Args:
        rate, rows: 5e-3 for batches of 64, as in the paper for CIFAR-10; smaller batches learn in proportion.
        reliable: r, 0.4 as in the paper.
        redundant: :math:`\epsilon`, 0.4 as in the paper for CIFAR-10 (0.05 for ImageNet).
        source: rows of the source without labels, as the encoder reads them, for :math:`\omega`: one backward pass for
            each row when the adapter is made. The paper takes 2,000 and finds 300 enough. None: no anchor (ETA).
        strength: :math:`\lambda`, 1 as in the paper for CIFAR-10 (2,000 for ImageNet).
        share, window: of the statistics, as in :func:`adabn`; the paper takes the batch alone.

    Raises:
        ValueError: options outside of the ranges; when the adapter is made: a model without normalisation weights.
        TypeError: a `source` that is no tensor.

    Niu et al., Efficient Test-Time Model Adaptation without Forgetting, 2022, https://arxiv.org/abs/2204.02610
    """
    check(POSITIVE, rate=rate, reliable=reliable, redundant=redundant)
    check(COUNT, rows=rows)
    check(AT_LEAST_0, strength=strength)
    check(SHARE, share=share)
    check(or_none(COUNT), window=window)
    if source is not None and not isinstance(source, Tensor):
        raise TypeError(f"`source` must be a tensor of rows of the source, got a {type(source).__name__}.")
    if source is not None and (len(source) == 0 or not source.isfinite().all()):
        raise ValueError("`source` must have rows of finite numbers: leave broken rows out, or pass None.")
    own = {"reliable": reliable, "redundant": redundant, "source": source, "strength": strength}
    return OnlineMethod("eata", {"rate": rate, "rows": rows, **own, "share": share, "window": window}, _Eata)


class _Eata(nn.Module):
    mean: Tensor

    def __init__(
        self,
        network: Network,
        reliable: float,
        redundant: float,
        source: Tensor | None,
        strength: float,
        **options: Any,
    ):
        super().__init__()
        fisher = None if source is None else _fisher(network, source)
        self.tuner = Tuner(network, "eata", adam=False, **options)
        self.reliable, self.redundant, self.strength = reliable, redundant, strength
        where = self.tuner.learning[0].device
        self.register_buffer("mean", torch.zeros(0, device=where))  # before the first row that learns
        self.fisher = nn.ParameterList([] if fisher is None else fisher).requires_grad_(False)

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        if not learn:
            return plain(self.tuner.network, x)
        with torch.enable_grad():
            logits = self.tuner(x)
            H, p = entropy(logits), logits.detach().softmax(1)
            limit = self.reliable * math.log(logits.shape[1])
            learns = H.detach() < limit
            if len(self.mean):
                learns &= F.cosine_similarity(p, self.mean[None]).abs() < self.redundant
            if bool(learns.any()):  # a host synchronisation
                H, p = H[learns], p[learns].mean(0)
                loss = ((limit - H.detach()).exp() * H).mean()
                moved = zip(self.fisher, self.tuner.learning, self.tuner.start, strict=False)
                anchor = [(omega * (now - first).square()).sum() for omega, now, first in moved]
                self.tuner.step(loss + self.strength * sum(anchor), len(logits))
                self.mean = 0.9 * self.mean + 0.1 * p if len(self.mean) else p
        return logits.detach().log_softmax(1)

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        self.mean = self.mean.new_zeros(state[f"{prefix}mean"].shape)  # empty, or a number for each class
        super()._load_from_state_dict(state, prefix, *rest)


def _fisher(network: Network, source: Tensor) -> list[Tensor]:
    """Return the diagonal of the Fisher information of the normalisation weights, with the source's statistics."""
    weights = normalisation_weights(network, "eata")
    total = [torch.zeros_like(w) for w in weights]
    for w in weights:
        w.requires_grad_(True)
    with torch.enable_grad():
        for row in source.to(weights[0].device):
            logits = network(row[None])
            found = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1)), weights)
            total = [t + g.square() for t, g in zip(total, found, strict=True)]
    return [t / len(source) for t in total]
