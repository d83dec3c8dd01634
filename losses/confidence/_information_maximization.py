"""Information maximisation: sure about each row, undecided over all."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits
from losses.confidence._diversity import entropy_of_mean
from losses.confidence._entropy import row_entropy


def information_maximization(logits: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Negative mutual information between input and predicted class, in nats.

    .. math:: \frac1n \sum_i H(p_i) - H(\bar p), \qquad \bar p = \frac1n \sum_i p_i, \qquad p_i = \mathrm{softmax}(z_i)

    The first term is small when each row is classified with confidence, the second keeps all classes in use.

    Args:
        logits: ``(n, classes)``.
        global_batch: gather the rows of all ranks first: :math:`H(\bar p)` is not a mean over rows.

    Returns:
        A scalar in [-log classes, 0], up to rounding. Sees the global batch; gradient accumulation does not enlarge
        that batch. float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``.

    One row has the value 0. The mean is taken in the log domain: a class that underflows in
    every row gives no NaN. Logits must be finite: leave a masked class out instead of giving it -inf.

    Related: :func:`losses.entropy` plus :func:`losses.diversity`.

    Shi and Sha, Information-Theoretical Learning of Discriminative Clusters for
    Unsupervised Domain Adaptation, 2012, https://arxiv.org/abs/1206.6438;
    Liang et al. (SHOT), 2020, https://arxiv.org/abs/2002.08546

    >>> information_maximization(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(-0.6931)
    """
    check_logits("logits", logits)
    z = at_least_float32(logits)
    log_p = (gather(z) if global_batch else z).log_softmax(1)
    return row_entropy(log_p).mean() - entropy_of_mean(log_p)
