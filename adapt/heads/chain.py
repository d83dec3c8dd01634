"""Sums and the best path over all paths of classes through a chain of words."""

import torch
from torch import Tensor


def log_partition(logits: Tensor, words: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    r"""Return ``(n,)``, the logarithm of the sum over all paths of the exponential of their score: the forward
    algorithm.

    .. math:: s(y) = a_{y_1} + \sum_{t=1}^{T} z_{t, y_t} + \sum_{t=2}^{T} A_{y_{t-1}, y_t} + b_{y_T}, \qquad
        \log Z = \log \sum_y e^{s(y)}

    Places without a word are skipped, wherever they lie. A sentence without a word gives log of the sum of
    :math:`e^b`.

    Args:
        logits: z ``(n, length, K)``; minus infinity forbids a class at a place.
        words: ``(n, length)`` booleans: True where a place is a word.
        start, end: a and b ``(K,)``.
        transitions: A ``(K, K)``, from the row to the column.
    """
    alpha, begun = torch.zeros_like(logits[:, 0]), torch.zeros_like(words[:, :1])
    for z, word in zip(logits.unbind(1), words[..., None].unbind(1), strict=True):
        follow = (alpha[:, :, None] + transitions).logsumexp(1)
        alpha = torch.where(word, torch.where(begun, follow, start) + z, alpha)
        begun = begun | word
    return (alpha + end).logsumexp(1)


def viterbi(logits: Tensor, words: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """Return ``(n, length)``, the path with the largest score; class 0 at places without a word.

    Args:
        logits, words, start, transitions, end: as in :func:`log_partition`; minus infinity forbids a transition.

    Viterbi, Error Bounds for Convolutional Codes, 1967, https://doi.org/10.1109/TIT.1967.1054010
    """
    best, begun = torch.zeros_like(logits[:, 0]), torch.zeros_like(words[:, :1])
    same = torch.arange(logits.shape[2], device=logits.device)
    before = []  # the best class of the word before, for each class
    for z, word in zip(logits.unbind(1), words[..., None].unbind(1), strict=True):
        follow, origin = (best[:, :, None] + transitions).max(1)
        best = torch.where(word, torch.where(begun, follow, start) + z, best)
        before.append(torch.where(word & begun, origin, same))
        begun = begun | word
    path = [(best + end).argmax(1)]
    for origin in reversed(before[1:]):
        path.append(origin.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1).where(words, 0)


def marginals(logits: Tensor, words: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    r"""Return ``(n, length, K)``, the probability of each class of each word, which is
    :math:`\partial \log Z / \partial z`; equal probabilities at places without a word.

    Args:
        logits, words, start, transitions, end: as in :func:`log_partition`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        z = logits.detach().clone().requires_grad_()
        chain = (part.detach().clone() for part in (start, transitions, end))
        (found,) = torch.autograd.grad(log_partition(z, words, *chain).sum(), z)
    return found.where(words[..., None], 1 / logits.shape[2])
