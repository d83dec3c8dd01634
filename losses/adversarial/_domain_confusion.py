"""Features on which a discriminator cannot decide."""

import torch.nn.functional as F
from torch import Tensor

from losses.checks import at_least_float32, check_logits, counted, counted_logits, one_a_row
from losses.reduce import mean


def domain_confusion(logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Cross-entropy between the uniform distribution over domains and what the discriminator says.

    .. math:: -\frac1n \sum_i \frac1K \sum_{k=1}^K \log q_{ik}, \qquad q_i = \mathrm{softmax}(z_i)

    and with one logit a row, K = 2 and :math:`q_i = (\sigma(z_i), 1 - \sigma(z_i))`. The encoder minimises it while the
    discriminator stands still; the discriminator's own loss is :func:`losses.domain_adversarial` or
    :func:`losses.multi_domain_adversarial`.

    Args:
        logits: ``(n, K)`` with K >= 2, or ``(n,)`` or ``(n, 1)`` for one logit a row; rows of all domains together.
        weights: ``(n,)`` numbers, not negative, or booleans as a mask.

    Returns:
        A scalar, at least log K. Per rank: a mean over rows; with weights their sum is gathered (one number), so
        that the mean of the ranks' values is the weighted mean over all rows. float32
        inside, whatever comes in.

    Raises:
        ValueError: no rows, or shapes that do not fit.

    Its gradient vanishes where the discriminator is undecided, while that of the reversed loss does not: maximising the
    discriminator's loss rewards a discriminator that is wrong, which is another optimum. pytorch-adapt's
    ``UniformDistributionLoss`` is the softmax form.

    Related: :func:`losses.inverted_domain` asks for the other label instead of for none.

    Tzeng et al., Simultaneous Deep Transfer Across Domains and Tasks, 2015, https://arxiv.org/abs/1510.02192

    >>> domain_confusion(torch.zeros(3)), domain_confusion(torch.zeros(3, 4))
    (tensor(0.6931), tensor(1.3863))
    """
    if logits.ndim == 1 or (logits.ndim == 2 and logits.shape[1] == 1):
        z = counted(one_a_row("logits", logits), weights)
        return mean(-0.5 * (F.logsigmoid(z) + F.logsigmoid(-z)), weights)
    check_logits("logits", logits)
    if logits.shape[1] == 0:
        raise ValueError("`logits` must be (n, K) with K >= 2, or one logit a row, got K = 0.")
    z = counted_logits(at_least_float32(logits), weights)
    return mean(-z.log_softmax(1).mean(1), weights)
