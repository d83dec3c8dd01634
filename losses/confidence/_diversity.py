"""Diversity of predictions: all classes in use."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits
from losses.confidence._entropy import row_entropy


def diversity(logits: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Negative entropy of the mean predicted class distribution, in nats.

    .. math:: \sum_c \bar p_c \log \bar p_c = -H(\bar p), \qquad
        \bar p = \frac1n \sum_i p_i, \qquad p_i = \mathrm{softmax}(z_i)

    The sign is that of a loss: minimising it spreads the predictions over the classes.

    Args:
        logits: ``(n, classes)``.
        global_batch: gather the rows of all ranks first: :math:`H(\bar p)` is not a mean over rows.

    Returns:
        A scalar in [-log classes, 0]. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``.

    The mean is taken in the log domain: a class that underflows in every row gives no NaN. pytorch-adapt adds a small
    number to the mean before its logarithm instead; otherwise it has the same value. Logits must be finite.

    Related: :func:`losses.information_maximization` is :func:`losses.entropy` plus this.

    Shi and Sha, Information-Theoretical Learning of Discriminative Clusters for
    Unsupervised Domain Adaptation, 2012, https://arxiv.org/abs/1206.6438;
    Liang et al. (SHOT), 2020, https://arxiv.org/abs/2002.08546

    >>> diversity(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(-0.6931)
    """
    check_logits("logits", logits)
    z = at_least_float32(logits)
    return -entropy_of_mean((gather(z) if global_batch else z).log_softmax(1))


def entropy_of_mean(log_p: Tensor) -> Tensor:
    """Entropy of the mean over rows of the distributions whose ``(n, classes)`` logarithms are given."""
    rows = log_p.new_full((), log_p.shape[0])  # `math.log` would hold one size in an exported loss
    log_mean = log_p.logsumexp(0, keepdim=True) - rows.log()
    return row_entropy(log_mean).squeeze(0)
