"""Pseudo-labels."""

from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_same_shape
from losses.options import POSITIVE, SHARE, check
from losses.reduce import mean


def pseudo_label(
    logits: Tensor,
    target_logits: Tensor,
    *,
    threshold: float | Tensor = 0.0,
    temperature: float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy with a held prediction as the label, where that prediction is confident.

    .. math::
        \frac1n \sum_i \mathbb 1\bigl[\max_c q_{ic} \ge \tau\bigr] \Bigl(-\sum_c \hat q_{ic} \log p_{ic}\Bigr), \qquad
        p = \mathrm{softmax}(z), \quad q = \mathrm{softmax}(z')

    with :math:`\hat q_i` the most probable class of :math:`q_i` (hard), or :math:`\mathrm{softmax}(z'_i / T)` (soft).

    Args:
        logits: ``(n, classes)`` or ``(n, classes, ...)``, :math:`z`, what is trained.
        target_logits: the same shape, :math:`z'`, which gets no gradient: `logits` once more for self-training, another
            view, a teacher.
        threshold: :math:`\tau` in [0, 1]; 0 takes every row. A ``(classes,)`` tensor has one for each class.
        temperature: None for hard labels; a number :math:`T` for soft ones, below 1 to sharpen them. The confidence is
            that of :math:`q`, unsharpened.
        weights: ``(n, ...)``, one number for each distribution; booleans are a mask.

    Returns:
        A scalar: a (weighted) mean over **all** rows and places; those below the threshold count as zero. Per rank: a
        mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that differ, a threshold outside [0, 1], a temperature that is not positive.

    For a mean over the selected rows give their mask as `weights`. Two classes that are equally probable: one is taken.

    Related: :func:`losses.fixmatch` (weak and strong views), :class:`losses.FlexMatch` (thresholds that follow the
    classes), :func:`losses.neighbourhood_aggregation` (labels of neighbours), :func:`losses.entropy` (soft self-labels
    with their gradient).

    Lee, Pseudo-Label, 2013 (hard); Berthelot et al. (MixMatch), 2019, https://arxiv.org/abs/1905.02249 (sharpening);
    Xie et al. (UDA), 2020, https://arxiv.org/abs/1904.12848 (both at once)

    >>> z = torch.tensor([[2.0, 0.0], [0.0, 0.1]])
    >>> pseudo_label(z, z), pseudo_label(z, z, threshold=0.8)
    (tensor(0.3857), tensor(0.0635))
    """
    check_dense_logits("logits", logits)
    check_same_shape(logits=logits, target_logits=target_logits)
    log_p, target = at_least_float32(logits).log_softmax(1), at_least_float32(target_logits).detach()
    confidence, label = target.softmax(1).max(1)
    if temperature is None:
        loss = -log_p.gather(1, label.unsqueeze(1)).squeeze(1)
    else:
        check(POSITIVE, temperature=temperature)
        loss = -((target / temperature).softmax(1) * log_p).sum(1)
    if isinstance(threshold, Tensor):
        if threshold.shape != log_p.shape[1:2]:
            raise ValueError(
                f"`threshold` must be a number or hold one for each of the {log_p.shape[1]} classes, "
                f"got shape {tuple(threshold.shape)}."
            )
        threshold = threshold[label]
    else:
        check(SHARE, threshold=threshold)
    loss = loss.masked_fill(confidence < threshold, 0) + (confidence - confidence)  # NaN logits have no class: NaN
    return mean(loss, weights)
