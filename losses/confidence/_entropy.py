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
        A scalar in [0, log classes]. Per rank: a (weighted) mean over rows and places. float32 inside, whatever comes
        in.

    Raises:
        ValueError: logits that are not ``(n, classes, ...)``, weights of another shape.

    A class of logit -inf takes no part: 0 log 0 is 0, in the gradient too. ADVENT's code divides by log classes, to
    have a value in [0, 1].

    Related: :func:`losses.information_maximization` adds :func:`losses.diversity`, which keeps the classes apart;
    entropy alone is also minimised by one class for everything.

    Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, 2004,
    https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization;
    Shu et al. (VADA), 2018, https://arxiv.org/abs/1802.08735; Vu et al. (ADVENT), 2019,
    https://arxiv.org/abs/1811.12833

    >>> entropy(torch.zeros(3, 2))
    tensor(0.6931)
    """
    check_dense_logits("logits", logits)
    z = at_least_float32(logits)
    try:
        rows = _Entropy.apply(z)
    except (
        RuntimeError
    ):  # torch.func takes functions with a `setup_context` alone, and that costs 20 microseconds a call
        rows = row_entropy(z.log_softmax(1))
    return mean(rows, weights)


def row_entropy(log_p: Tensor) -> Tensor:
    """``(n, ...)`` entropies of ``(n, classes, ...)`` log-probabilities, which may be -inf."""
    return -(log_p.exp() * bounded(log_p)).sum(1)


def bounded(log_p: Tensor) -> Tensor:
    """No -inf: 0 * inf would be NaN where the limit of p log p is 0."""
    return log_p.clamp_min(torch.finfo(log_p.dtype).min)


class _Entropy(torch.autograd.Function):
    """:func:`row_entropy` of the softmax, with the gradient -p (log p + H).

    The bound and the softmax cost no pass back.
    """

    @staticmethod
    def forward(ctx, z):
        log_p = z.log_softmax(1)
        p, log_p = log_p.exp(), bounded(log_p)
        H = -(p * log_p).sum(1)
        ctx.save_for_backward(z, p, log_p, H)
        return H

    @staticmethod
    def backward(ctx, grad):
        z, p, log_p, H = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants a second derivative: with a graph
            log_p = z.log_softmax(1)
            p, H = log_p.exp(), row_entropy(log_p)
            return -grad.unsqueeze(1) * p * (bounded(log_p) + H.unsqueeze(1))
        return (log_p + H.unsqueeze(1)).mul_(p).mul_(-grad.unsqueeze(1))
