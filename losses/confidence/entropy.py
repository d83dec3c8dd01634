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
    return _RowEntropy.apply(log_p)[0]


class _RowEntropy(torch.autograd.Function):
    """-sum p log p, where log p may be -inf. As autograd's graph the bounded logarithm would cost two passes more."""

    generate_vmap_rule = True

    @staticmethod
    def forward(log_p):
        p = log_p.exp()
        terms = _bounded(log_p).mul_(p)
        return -terms.sum(1), p.add_(terms)  # the second is minus the derivative, p (1 + log p)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # no zeros for the second output
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return None
        log_p, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants a second derivative: with a graph
            slope = (_bounded(log_p) + 1) * log_p.exp()
        return slope * -grad.unsqueeze(1)


def _bounded(log_p: Tensor) -> Tensor:
    return log_p.clamp_min(torch.finfo(log_p.dtype).min)
