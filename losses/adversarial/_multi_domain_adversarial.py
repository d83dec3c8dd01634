"""The discriminator's loss where there are several domains."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import (
    at_least_float32,
    check_labels,
    check_logits,
    counted,
    counted_logits,
    one_hot,
)
from losses.options import BELOW_1, check


def multi_domain_adversarial(
    logits: Tensor, domains: Tensor, *, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    r"""Cross-entropy of a discriminator of K domains; every domain that is present weighs the same.

    .. math::
        \frac1{|P|} \sum_{k \in P} \frac{\sum_{i : d_i = k} w_i\, \ell_i}{\sum_{i : d_i = k} w_i}, \qquad
        \ell_i = -(1 - \varepsilon) \log q_{i d_i} - \frac\varepsilon K \sum_k \log q_{ik}, \qquad
        q_i = \mathrm{softmax}(z_i)

    with :math:`P` the domains whose weights do not sum to zero. The discriminator minimises it; the encoder maximises
    it when its features come through :func:`losses.reverse`. A blind discriminator has the value log K.

    Args:
        logits: ``(n, K)``, the discriminator's logits :math:`z` on rows of all domains, in any order.
        domains: ``(n,)`` indices :math:`d` in [0, K).
        weights: ``(n,)`` numbers :math:`w`, not negative, or booleans as a mask. Where it is 0 a domain may be
            anything.
        label_smoothing: :math:`\varepsilon` in [0, 1), torch's convention; 0, as in the papers.

    Returns:
        A scalar. A mean over the rows of a domain, then over domains. Sees the global batch as far as needed: the
        ranks' sums of weights for each domain are gathered (K numbers), so the mean of the ranks' values is the value
        on all rows, also where a rank lacks a domain. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, domains that are no whole numbers, `label_smoothing` outside [0, 1).
            A domain outside [0, K) is torch's indexing error where it counts.

    Weights that are all zero give 0. A plain cross-entropy over all rows weighs a domain by its number of rows: equal
    to this one where all domains have the same number. CoDATS writes a sum over domains (|P| times this value).

    Related: two domains, :func:`losses.domain_adversarial` (equal to this with K = 2 and logits ``[0, s]``). MDAN has
    one binary discriminator for each source: one :func:`losses.domain_adversarial` each.

    Wilson, Doppa and Cook, Multi-Source Deep Domain Adaptation with Weak Supervision for Time-Series Sensor Data
    (CoDATS), 2020, https://arxiv.org/abs/2005.10996;
    Zhao et al., Adversarial Multiple Source Domain Adaptation (MDAN), 2018, https://arxiv.org/abs/1705.09684

    >>> multi_domain_adversarial(torch.zeros(4, 3), torch.tensor([0, 0, 0, 2]))
    tensor(1.0986)
    """
    check_logits("logits", logits)
    check_labels(domains, (logits.shape[0],), name="domains")
    check(BELOW_1, label_smoothing=label_smoothing)
    domains = counted(domains, weights).long()
    log_q = counted_logits(at_least_float32(logits), weights).log_softmax(1)
    K = log_q.shape[1]
    w = torch.ones_like(log_q[:, 0]) if weights is None else at_least_float32(weights)

    loss = -(1 - label_smoothing) * log_q.gather(1, domains[:, None]).squeeze(1) - label_smoothing * log_q.mean(1)
    sums = (one_hot(domains, K, w) * w[:, None]).sum(0)
    total = gather(sums[None]).mean(0)  # mean over ranks: see losses.reduce.mean
    present = (total > 0).sum().clamp_min(1)
    share = w / torch.where(total > 0, total, 1)[domains] / present
    return (share * loss).sum()
