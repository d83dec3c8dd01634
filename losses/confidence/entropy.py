"""Entropy of predictions."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits
from losses.reduce import mean


def entropy(logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Mean Shannon entropy of the predicted class distributions, in nats.

    .. math:: \frac1n \sum_i H(p_i), \qquad H(p) = -\sum_c p_c \log p_c, \qquad p_i = \mathrm{softmax}(z_i)

    Minimising it on unlabelled rows pushes the decision boundary out of dense regions. VADA and DIRT-T call it
    conditional entropy, ADVENT the direct entropy of a dense prediction.

    Args:
        logits: ``(n, classes)``, or ``(n, classes, ...)`` for a prediction at each place.
        weights: ``(n, ...)``, one number for each distribution; booleans are a mask.

    Returns:
        A scalar in [0, log classes]. Per rank: a (weighted) mean over rows and places. float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes, ...)``, weights of another shape.

    A class of logit -inf takes no part: 0 log 0 is 0, in the gradient too. ADVENT's code divides by log classes, to
    have a value in [0, 1].

    Related: :func:`losses.information_maximization` adds :func:`losses.diversity`, which keeps the classes apart;
    entropy alone is also minimised by one class for everything.

    Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, 2004,
    https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization;
    Shu et al. (VADA), 2018, https://arxiv.org/abs/1802.08735; Vu et al. (ADVENT), 2019, https://arxiv.org/abs/1811.12833

    >>> entropy(torch.zeros(3, 2))
    tensor(0.6931)
    """
    check_dense_logits("logits", logits)
    log_p = at_least_float32(logits).log_softmax(1)
    return mean(row_entropy(log_p), weights)


def row_entropy(log_p: Tensor) -> Tensor:
    """``(n, ...)`` entropies of ``(n, classes, ...)`` log-probabilities."""
    return _RowEntropy.apply(log_p)


class _RowEntropy(torch.autograd.Function):
    """-sum p log p, where log p may be -inf. As autograd's graph the bounded logarithm would cost two passes more."""

    generate_vmap_rule = True

    @staticmethod
    def forward(log_p):
        return -_bounded(log_p).mul_(log_p.exp()).sum(1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (log_p,) = ctx.saved_tensors
        slope, p, grad = _bounded(log_p) + 1, log_p.exp(), -grad.unsqueeze(1)
        if torch.is_grad_enabled():  # somebody wants a second derivative
            return slope * p * grad
        return slope.mul_(p).mul_(grad)


def _bounded(log_p: Tensor) -> Tensor:
    return log_p.clamp_min(torch.finfo(log_p.dtype).min)
