"""Entropy of predictions."""

from torch import Tensor

from losses.checks import at_least_float32, check_logits


def entropy(logits: Tensor) -> Tensor:
    r"""Mean Shannon entropy of the predicted class distributions, in nats.

    .. math:: \frac1n \sum_i H(p_i), \qquad H(p) = -\sum_c p_c \log p_c, \qquad p_i = \mathrm{softmax}(z_i)

    Minimising it on unlabelled rows pushes the decision boundary out of dense regions.

    Args:
        logits: ``(n, classes)``.

    Returns:
        A scalar in [0, log classes]. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``.

    Logits must be finite: leave a masked class out instead of giving it -inf.

    Related: :func:`losses.information_maximization` adds the term that keeps the classes apart; entropy alone is also
    minimised by one class for everything.

    Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, 2004,
    https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization

    >>> entropy(torch.zeros(3, 2))
    tensor(0.6931)
    """
    check_logits("logits", logits)
    return row_entropy(at_least_float32(logits).log_softmax(1)).mean()


def row_entropy(log_p: Tensor) -> Tensor:
    """``(n,)`` entropies of ``(n, classes)`` log-probabilities."""
    return -(log_p.exp() * log_p).sum(1)
