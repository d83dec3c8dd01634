"""Cross-entropy whose weighted mean is the same on one rank and on several."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_class_numbers, check_dense_logits, check_labels, counted
from losses.options import SHARE, check
from losses.reduce import mean


def weighted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    weights: Tensor | None = None,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Weighted mean of the cross-entropy, with hard or soft labels, smoothed or not.

    .. math::
        \frac{\sum_i w_i \sum_c a_c\, q_{ic}\, (-\log p_{ic})}{\sum_i w_i \sum_c a_c\, y_{ic}}, \qquad
        q_{ic} = (1 - \varepsilon)\, y_{ic} + \frac{\varepsilon}{C}, \qquad p_i = \mathrm{softmax}(z_i)

    with :math:`y_i` one-hot for a hard label. Without weights and on one rank, use
    :func:`torch.nn.functional.cross_entropy`. The reason for this one: torch's weighted mean is taken on each rank, and
    the mean of the ranks' weighted means is not the weighted mean of all rows.

    Args:
        logits: ``(n, classes)`` or ``(n, classes, ...)``.
        labels: ``(n,)`` or ``(n, ...)`` class indices, or soft labels :math:`y` in the shape of the logits (floating
            point, rows that sum to one).
        weights: :math:`w`, ``(n,)`` or ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a hard label may
            be anything: ``weights=labels != 255`` is torch's ``ignore_index=255``.
        class_weights: :math:`a`, ``(classes,)``, not negative.
        label_smoothing: :math:`\varepsilon` in [0, 1]; 0.1 in the paper.

    Returns:
        A scalar. Per rank: a weighted mean over rows and places, whose mean over the ranks is the weighted mean over
        all rows. 0 where nothing counts. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; hard labels that are not whole numbers; smoothing outside [0, 1].

    Logits must be finite. On one rank the value is that of torch's ``cross_entropy(weight=, label_smoothing=)`` for
    hard labels. For soft labels torch divides by the number of rows whatever the class weights are; here a soft label
    that is one-hot has the value of the hard one.

    Related: :func:`losses.mixup_cross_entropy`; :func:`losses.balanced_class_weights` makes class weights from counts.

    Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, section 7,
    https://arxiv.org/abs/1512.00567

    >>> z = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    >>> weighted_cross_entropy(z, torch.tensor([0, 255]), weights=torch.tensor([True, False]))
    tensor(0.6931)
    """
    check_dense_logits("logits", logits)
    check(SHARE, label_smoothing=label_smoothing)
    log_p = at_least_float32(logits).log_softmax(1)
    C = log_p.shape[1]
    if class_weights is None:
        a = log_p.new_ones(C)
    else:
        check_class_numbers("class_weights", class_weights, C)
        a = class_weights.to(log_p.dtype)
    a = a.view(1, C, *[1] * (log_p.ndim - 2))

    if labels.is_floating_point():
        if labels.shape != logits.shape:
            raise ValueError(
                f"Soft `labels` must have the logits' shape {tuple(logits.shape)}, got {tuple(labels.shape)}."
            )
        y = labels.to(log_p.dtype)
        rows, share = -(a * y * log_p).sum(1), (a * y).sum(1)
    else:
        check_labels(labels, (logits.shape[0], *logits.shape[2:]))
        y = counted(labels, weights)
        share = at_label(a.expand_as(log_p), y)
        rows = -share * at_label(log_p, y)
    if label_smoothing > 0:
        rows = (1 - label_smoothing) * rows - label_smoothing / C * (a * log_p).sum(1)

    loss = mean(rows, weights)
    if class_weights is None:
        return loss  # every row has share 1
    share = gather(mean(share, weights)[None]).mean()  # of all ranks
    return torch.where(share == 0, 0, loss / torch.where(share == 0, 1, share))


def at_label(x: Tensor, labels: Tensor) -> Tensor:
    """Return ``(n, ...)``: the entry of each place's class in ``(n, classes, ...)``. torch refuses other labels."""
    return x.gather(1, labels.long().unsqueeze(1)).squeeze(1)
