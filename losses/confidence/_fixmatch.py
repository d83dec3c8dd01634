"""FixMatch."""

from torch import Tensor

from losses.checks import check_same_shape
from losses.confidence._pseudo_label import pseudo_label


def fixmatch(
    strong_logits: Tensor,
    weak_logits: Tensor,
    *,
    threshold: float | Tensor = 0.95,
    temperature: float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of a strong view with the class of the weak view of the same rows, where that is confident.

    .. math::
        \frac1n \sum_i \mathbb 1\bigl[\max_c q_{ic} \ge \tau\bigr] \bigl(-\log p_{i \hat c_i}\bigr), \qquad
        \hat c_i = \arg\max_c q_{ic}, \quad q = \mathrm{softmax}(z^{weak}), \quad p = \mathrm{softmax}(z^{strong})

    Args:
        strong_logits: ``(n, classes)`` or ``(n, classes, ...)``, what is trained.
        weak_logits: the same shape; no gradient goes there.
        threshold: :math:`\tau`, 0.95 as in the paper; a ``(classes,)`` tensor has one for each class.
        temperature: None for hard labels, as in the paper; a number for labels :math:`\mathrm{softmax}(z^{weak} / T)`.
        weights: ``(n, ...)``, one number for each distribution; booleans are a mask.

    Returns:
        A scalar: a (weighted) mean over **all** rows and places; those below the threshold count as zero. Per rank: a
        mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that differ, a threshold outside [0, 1], a temperature that is not positive.

    Related: it is ``pseudo_label(strong_logits, weak_logits, threshold=0.95)``; :class:`losses.FlexMatch` has
    thresholds that follow the classes.

    Sohn et al., FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence, 2020,
    https://arxiv.org/abs/2001.07685

    >>> fixmatch(torch.zeros(2, 2), torch.tensor([[9.0, 0.0], [1.0, 0.0]]))
    tensor(0.3466)
    """
    check_same_shape(strong_logits=strong_logits, weak_logits=weak_logits)
    return pseudo_label(strong_logits, weak_logits, threshold=threshold, temperature=temperature, weights=weights)
