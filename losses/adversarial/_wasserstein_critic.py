"""The critic's estimate of a Wasserstein distance."""

from torch import Tensor

from losses.checks import one_a_row
from losses.reduce import mean


def wasserstein_critic(
    source_scores: Tensor,
    target_scores: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""Mean score of the critic on source minus its mean score on target: WDGRL's estimate of the 1-Wasserstein
    distance.

    .. math:: \frac1n \sum_i c(x_i) - \frac1m \sum_j c(y_j)

    The critic **maximises** it, kept 1-Lipschitz by :func:`losses.gradient_penalty`; the encoder **minimises** it. So
    the critic minimises ``-wasserstein_critic(...) + 10 * gradient_penalty(...)`` on features without gradient, and the
    encoder ``wasserstein_critic(...)`` with the critic standing still.

    Args:
        source_scores: ``(n,)`` or ``(n, 1)``, the critic's output on source features.
        target_scores: ``(m,)`` or ``(m, 1)``.
        source_weights: ``(n,)`` numbers, not negative, or booleans as a mask.
        target_weights: ``(m,)``.

    Returns:
        A scalar of either sign. Per rank: a mean over rows; with weights their sum is gathered (one number), so
        that the mean of the ranks' values is the weighted mean over all rows. float32
        inside, whatever comes in.

    Raises:
        ValueError: a domain without rows, more than one score a row, weights of another shape.

    A domain whose weights are all zero adds 0.

    Shen et al., Wasserstein Distance Guided Representation Learning for Domain Adaptation (WDGRL), 2018,
    https://arxiv.org/abs/1707.01217

    >>> wasserstein_critic(torch.tensor([1.0, 2.0]), torch.tensor([0.5]))
    tensor(1.)
    """
    s, t = one_a_row("source_scores", source_scores), one_a_row("target_scores", target_scores)
    return mean(s, source_weights, name="source_weights") - mean(t, target_weights, name="target_weights")
