"""The domain classifier's loss of DANN."""

import torch.nn.functional as F
from torch import Tensor

from losses.checks import at_least_float32


def domain_adversarial(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    r"""Binary cross-entropy of a domain discriminator, source labelled 1 and target 0, each domain weighing one half.

    .. math:: \tfrac12 \Bigl( \tfrac1n \sum_i -\log \sigma(s_i) + \tfrac1m \sum_j -\log (1 - \sigma(t_j)) \Bigr)

    Computed from logits (softplus), so it is safe at any size of logit. The discriminator minimises it; the encoder
    maximises it when its features reach the discriminator through :func:`losses.reverse`. A blind discriminator has
    the value log 2.

    Args:
        source_logits: ``(n,)`` or ``(n, 1)``, the discriminator's logit of "this is source".
        target_logits: ``(m,)`` or ``(m, 1)``.

    Returns:
        A scalar. Domains count equally whatever n and m. Per rank: a mean over rows.

    Raises:
        ValueError: a domain without rows, or more than one logit a row.

    Related: the paper adds the two means instead of averaging them (twice this value); tllib averages, as here.

    Ganin et al., Domain-Adversarial Training of Neural Networks, 2016, section 4, https://arxiv.org/abs/1505.07818

    >>> domain_adversarial(torch.zeros(4), torch.zeros(3))
    tensor(0.6931)
    """
    for name, z in (("source_logits", source_logits), ("target_logits", target_logits)):
        if z.ndim not in (1, 2) or z.numel() != z.shape[0] or z.shape[0] == 0:
            raise ValueError(f"`{name}` must hold one logit a row, (n,) or (n, 1) with n >= 1, got {tuple(z.shape)}.")
    s, t = at_least_float32(source_logits), at_least_float32(target_logits)
    return 0.5 * (F.softplus(-s).mean() + F.softplus(t).mean())
