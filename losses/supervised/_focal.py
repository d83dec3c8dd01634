"""Focal loss over classes."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_class_numbers, check_dense_logits, check_labels, counted
from losses.options import AT_LEAST_0, check
from losses.reduce import mean
from losses.supervised._weighted_cross_entropy import at_label


def focal(
    logits: Tensor,
    labels: Tensor,
    *,
    focus: float = 2.0,
    class_weights: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy in which rows that are already right count less.

    .. math:: \frac1n \sum_i a_{y_i}\, (1 - p_{iy_i})^\gamma\, (-\log p_{iy_i}), \qquad p_i = \mathrm{softmax}(z_i)

    Args:
        logits: ``(n, classes)`` or ``(n, classes, ...)``.
        labels: ``(n,)`` or ``(n, ...)`` class indices.
        focus: :math:`\gamma \ge 0`; 2 as in the paper. 0 is cross-entropy.
        class_weights: :math:`a`, ``(classes,)``, not negative. They are factors of the rows: the mean is not divided by
            them, as in the paper's :math:`\alpha`.
        weights: ``(n,)`` or ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a label may be anything.

    Returns:
        A scalar. Per rank: a weighted mean over rows and places. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels that are not whole numbers; a negative focus.

    Logits must be finite. A row that is certainly right has the value 0 and no gradient, for every focus. With focus 0
    and class weights this is not :func:`losses.weighted_cross_entropy`, which divides by the rows' class weights.

    Related: :func:`losses.binary_focal` is the paper's form, one sigmoid for each class.

    Lin et al., Focal Loss for Dense Object Detection, 2017, eq. 4 and 5, https://arxiv.org/abs/1708.02002

    >>> focal(torch.zeros(3, 2), torch.tensor([0, 1, 1]))                          # log(2) / 4
    tensor(0.1733)
    """
    check_dense_logits("logits", logits)
    check_labels(labels, (logits.shape[0], *logits.shape[2:]))
    check(AT_LEAST_0, focus=focus)
    y = counted(labels, weights)
    log_p = at_label(at_least_float32(logits).log_softmax(1), y)
    wrong = -torch.expm1(log_p)  # 1 - p
    sure = wrong <= 0  # the power has no finite derivative there where focus < 1
    rows = torch.where(sure, 1, wrong).pow(focus) * -log_p
    rows = torch.where(sure, 0, rows)
    if class_weights is not None:
        check_class_numbers("class_weights", class_weights, logits.shape[1])
        rows = class_weights.to(rows.dtype)[y.long()] * rows
    return mean(rows, weights)
