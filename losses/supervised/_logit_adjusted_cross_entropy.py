"""Cross-entropy for rare classes: logits moved by the log of the class counts."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_class_numbers, check_dense_logits, check_labels, counted
from losses.options import AT_LEAST_0, check
from losses.reduce import mean
from losses.supervised._weighted_cross_entropy import at_label


def logit_adjusted_cross_entropy(
    logits: Tensor, labels: Tensor, *, class_counts: Tensor, strength: float = 1.0, weights: Tensor | None = None
) -> Tensor:
    r"""Cross-entropy of logits to which the log prior of each class is added while training.

    .. math:: \frac1n \sum_i -\log \frac{e^{z_{iy_i} + \tau \log \pi_{y_i}}}{\sum_c e^{z_{ic} + \tau \log \pi_c}}

    A frequent class has to win by more. The logits alone, not adjusted, then predict for classes of equal frequency.

    Args:
        logits: ``(n, classes)`` or ``(n, classes, ...)``.
        labels: ``(n,)`` or ``(n, ...)`` class indices.
        class_counts: ``(classes,)`` rows of each class in the training set, or their shares :math:`\pi`: a common
            factor changes nothing.
        strength: :math:`\tau`; 1 is the value for which the paper shows consistency for the balanced error, and with it
            the loss is balanced softmax. 0 is plain cross-entropy.
        weights: ``(n,)`` or ``(n, ...)``, not negative; booleans are a mask. Where it is 0 a label may be anything.

    Returns:
        A scalar. Per rank: a weighted mean over rows and places. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; labels that are not whole numbers.

    A class of count zero is counted as 1e-38: with strength near 1 and logits of ordinary size it takes no part in the
    sum; a row that carries it has a large, finite loss, which does depend on the scale of the counts. Logits must be
    finite.

    Related: :func:`losses.balanced_class_weights` weighs the rows instead.

    Menon et al., Long-tail Learning via Logit Adjustment, 2021, eq. 10, https://arxiv.org/abs/2007.07314;
    Ren et al., Balanced Meta-Softmax, 2020, https://arxiv.org/abs/2007.10740

    >>> z, counts = torch.zeros(1, 2), torch.tensor([3.0, 1.0])
    >>> logit_adjusted_cross_entropy(z, torch.tensor([1]), class_counts=counts)    # log 4
    tensor(1.3863)
    """
    check_dense_logits("logits", logits)
    check_labels(labels, (logits.shape[0], *logits.shape[2:]))
    check_class_numbers("class_counts", class_counts, logits.shape[1])
    check(AT_LEAST_0, strength=strength)
    z = at_least_float32(logits)
    log_n = class_counts.to(z.dtype).clamp_min(torch.finfo(torch.float32).tiny).log()
    log_p = (z + strength * log_n.view(1, -1, *[1] * (z.ndim - 2))).log_softmax(1)
    return mean(-at_label(log_p, counted(labels, weights)), weights)
