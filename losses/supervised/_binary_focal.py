"""Focal loss on yes-or-no logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.checks import at_least_float32, check_binary
from losses.options import AT_LEAST_0, SHARE, check, or_none
from losses.reduce import mean


def binary_focal(
    logits: Tensor,
    labels: Tensor,
    *,
    focus: float = 2.0,
    balance: float | None = 0.25,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Binary cross-entropy in which entries that are already right count less.

    .. math::
        \frac1n \sum_i \alpha_i\, \sigma(-s_i)^\gamma\, (-\log \sigma(s_i)), \qquad
        s_i = (2 y_i - 1)\, z_i, \qquad \alpha_i = \alpha y_i + (1 - \alpha)(1 - y_i)

    :math:`\sigma(s_i)` is the paper's :math:`p_t`. Both factors come from the logarithm of the sigmoid, so they are
    safe at any size of logit.

    Args:
        logits: any shape with at least one entry, such as ``(n,)`` or ``(n, classes)`` for several labels a row.
        labels: the same shape, 0 or 1, whole numbers or booleans.
        focus: :math:`\gamma \ge 0`; 2 as in the paper.
        balance: :math:`\alpha`, the weight of the ones; 0.25 as in the paper with focus 2. ``None`` leaves it out.
        weights: the same shape, not negative; booleans are a mask. Where it is 0 a label may be anything.

    Returns:
        A scalar. Per rank: a weighted mean over entries. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels in floating point; a negative focus; balance outside [0, 1].

    Logits must be finite. torchvision's ``sigmoid_focal_loss(reduction="mean")`` has this value, and its
    ``alpha=-1`` is ``balance=None``. The paper divides the sum by the number of positive anchors: multiply by
    ``labels.numel() / labels.sum()`` (without weights).

    Related: :func:`losses.focal`, one softmax over classes.

    Lin et al., Focal Loss for Dense Object Detection, 2017, eq. 5, https://arxiv.org/abs/1708.02002

    >>> binary_focal(torch.zeros(2), torch.tensor([1, 1]))                         # log(2) / 16
    tensor(0.0433)
    """
    check_binary("labels", labels, tuple(logits.shape))
    check(AT_LEAST_0, focus=focus)
    check(or_none(SHARE), balance=balance)
    z = at_least_float32(logits)
    positive = labels == 1
    s = torch.where(positive, z, -z)
    rows = torch.exp(focus * F.logsigmoid(-s)) * -F.logsigmoid(s)
    if balance is not None:
        rows = torch.where(positive, balance * rows, (1 - balance) * rows)
    return mean(rows, weights)
