"""Entropy minimisation on reliable rows towards flat minima, with recovery."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, Tuner, entropy, plain
from losses.options import AT_LEAST_0, COUNT, POSITIVE, SHARE, check, or_none


def sar(
    *,
    rate: float = 2.5e-4,
    rows: int = 64,
    reliable: float = 0.4,
    radius: float = 0.05,
    recovery: float = 0.2,
    share: float = 1.0,
    window: int | None = None,
) -> OnlineMethod:
    r"""Return entropy minimisation on reliable rows, towards flat minima, with recovery: SAR.

    .. math:: g = \nabla \frac{1}{|S|} \sum_{i \in S} H(p_i; \theta), \qquad
        g' = \nabla \frac{1}{|S'|} \sum_{i \in S'} H(p_i; \theta + \rho\, g / \lVert g \rVert)

    S are the rows with an entropy below :math:`r \log C`; S' are the rows of S whose entropy stays below at the moved
    weights. SGD with momentum 0.9 steps along :math:`-g'`. The last layer of an encoder with named layers does not
    learn. When the running mean of the second loss (0.9 old, 0.1 new) falls below `recovery`, the weights and the
    optimizer start again.

    Args:
        rate, rows: 2.5e-4 for batches of 64, as in the paper for ImageNet; smaller batches learn in proportion.
        reliable: r, 0.4 as in the paper.
        radius: :math:`\rho`, 0.05 as in the paper.
        recovery: 0.2 as in the paper; 0 never recovers.
        share, window: of the statistics, as in :func:`adabn`; the paper recommends models without BatchNorm.

    Two forward and two backward passes for each batch.

    Raises:
        ValueError: options outside of the ranges; when the adapter is made: a model without normalisation weights.

    Niu et al., Towards Stable Test-Time Adaptation in Dynamic Wild World, 2023, https://arxiv.org/abs/2302.12400
    """
    check(POSITIVE, rate=rate, reliable=reliable, radius=radius)
    check(COUNT, rows=rows)
    check(AT_LEAST_0, recovery=recovery)
    check(SHARE, share=share)
    check(or_none(COUNT), window=window)
    own = {"reliable": reliable, "radius": radius, "recovery": recovery}
    return OnlineMethod("sar", {"rate": rate, "rows": rows, **own, "share": share, "window": window}, _Sar)


class _Sar(nn.Module):
    loss: Tensor

    def __init__(self, network: Network, reliable: float, radius: float, recovery: float, **options: Any):
        super().__init__()
        self.tuner = Tuner(network, "sar", adam=False, last=False, **options)
        self.reliable, self.radius, self.recovery = reliable, radius, recovery
        where = self.tuner.learning[0].device
        start = torch.tensor(math.inf, dtype=torch.float64, device=where)  # infinite before the first step
        self.register_buffer("loss", start)

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        if not learn:
            return plain(self.tuner.network, x)
        with torch.enable_grad():
            logits = self.tuner(x)
            H, limit = entropy(logits), self.reliable * math.log(logits.shape[1])
            rows = H.detach() < limit
            if bool(rows.any()):  # a host synchronisation, as the second look
                self._flat_step(x, H[rows].mean(), rows, limit)
        return logits.detach().log_softmax(1)

    def _flat_step(self, x: Any, loss: Tensor, rows: Tensor, limit: float) -> None:
        learning = self.tuner.learning
        g = torch.autograd.grad(loss, learning)
        length = torch.stack([part.norm() for part in g]).norm() + 1e-12
        before = [w.detach().clone() for w in learning]
        with torch.no_grad():
            for w, part in zip(learning, g, strict=True):
                w.add_(part, alpha=float(self.radius / length))
        H = entropy(self.tuner(x))[rows]
        H = H[H.detach() < limit]
        if len(H):
            second = H.mean()
            second.backward()
        with torch.no_grad():
            for w, old in zip(learning, before, strict=True):
                w.copy_(old)
        if len(H):
            self.tuner.update(len(rows))
            self.loss.copy_(second.detach() if self.loss.isinf() else 0.9 * self.loss + 0.1 * second.detach())
            if self.loss < self.recovery:
                self.tuner.go_back()
                self.loss.fill_(math.inf)
