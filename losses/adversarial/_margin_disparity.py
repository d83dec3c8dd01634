"""Margin disparity discrepancy (MDD)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_same_shape, counted_logits
from losses.options import POSITIVE, check
from losses.reduce import mean


def margin_disparity(
    source_logits: Tensor,
    source_adversarial_logits: Tensor,
    target_logits: Tensor,
    target_adversarial_logits: Tensor,
    *,
    margin: float = 4.0,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    r"""What the adversarial head of MDD minimises: agree with the main head on source, disagree on target.

    .. math::
        \gamma\, \frac1n \sum_i -\log p'_{s,i}[h(x_i)] + \frac1m \sum_j -\log \bigl( 1 - p'_{t,j}[h(x_j)] \bigr), \qquad
        h(x) = \arg\max_c f_c(x), \qquad p' = \mathrm{softmax}(f'(x))

    The value is the negative of the paper's discrepancy, so that one backward serves both players: the adversarial head
    minimises it, and the encoder maximises it when its features reach that head through :func:`losses.reverse`::

        losses.margin_disparity(head(fs), adversary(losses.reverse(fs)), head(ft), adversary(losses.reverse(ft)))

    With :math:`a = f'_h - \log \sum_{c \ne h} e^{f'_c}` the log-odds of class h(x) under f', the second row loss is
    :math:`\log(1 + e^a)`: that is what is computed; no 1 - p is formed.

    Args:
        source_logits: ``(n, classes)`` or ``(n, classes, ...)``, the main head's :math:`f`. Only its largest entry
            matters; it gets no gradient.
        source_adversarial_logits: the same shape, :math:`f'`.
        target_logits: ``(m, classes)`` or ``(m, classes, ...)``.
        target_adversarial_logits: the same shape as `target_logits`.
        margin: :math:`\gamma`, the exponential of the paper's margin :math:`\rho`; 4, tllib's default (3 in the
            authors' code).
        source_weights: ``(n,)``, or ``(n, ...)`` for dense logits (one for each place): numbers, not negative, or
            booleans as a mask.
        target_weights: ``(m,)``, or ``(m, ...)`` for dense logits.

    Returns:
        A scalar, not negative. Per rank: a mean over rows; with weights their sum is gathered (one number), so
        that the mean of the ranks' values is the weighted mean over all rows.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, source and target of different numbers of classes, fewer than two classes, a
            margin that is not positive.

    A domain whose weights are all zero adds 0. The authors' code has this sign and value. Definitions differ: tllib
    returns the negative, and takes log(1 - p + 1e-6): a row adds at most 13.8 there, and gets hardly any gradient near
    that. skada smooths the probabilities by 0.1 and indexes them as ``p[..., labels]``, an (n, n) matrix whose mean is
    blind to which row has which label.

    Related: :func:`losses.regression_disparity`; :func:`losses.classifier_discrepancy` (MCD).

    Zhang et al., Bridging Theory and Algorithm for Domain Adaptation, 2019, https://arxiv.org/abs/1904.05801

    >>> margin_disparity(*[torch.zeros(3, 2)] * 4)
    tensor(3.4657)
    """
    check(POSITIVE, margin=margin)
    for domain, f, f1 in (
        ("source", source_logits, source_adversarial_logits),
        ("target", target_logits, target_adversarial_logits),
    ):
        check_dense_logits(f"{domain}_logits", f)
        check_same_shape(**{f"{domain}_logits": f, f"{domain}_adversarial_logits": f1})
        if f.shape[1] < 2:
            raise ValueError(f"`{domain}_logits` must have at least 2 classes to disagree on, got {f.shape[1]}.")
    if source_logits.shape[1] != target_logits.shape[1]:
        raise ValueError(
            "`source_logits` and `target_logits` must have the same number of classes, "
            f"got {source_logits.shape[1]} and {target_logits.shape[1]}."
        )
    a_s = counted_logits(at_least_float32(source_adversarial_logits), source_weights, "source_weights")
    a_t = counted_logits(at_least_float32(target_adversarial_logits), target_weights, "target_weights")
    if source_weights is None:
        agree = F.cross_entropy(a_s, source_logits.argmax(1))
    else:
        agree = mean(F.cross_entropy(a_s, source_logits.argmax(1), reduction="none"), source_weights)
    # beyond the threshold it is linear: exact to rounding at 40, not at torch's 20
    disagree = F.softplus(_log_odds(a_t, target_logits.argmax(1)), threshold=40)
    return margin * agree + mean(disagree, target_weights)


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    r"""``(n, ...)`` values of :math:`\log p_y - \log(1 - p_y)`.

    y are the classes `labels` ``(n, ...)``, p the softmax of `logits` ``(n, classes, ...)``.
    """
    y = labels.unsqueeze(1)
    others = logits.scatter(1, y, -torch.inf).logsumexp(1)
    return logits.gather(1, y).squeeze(1) - others
