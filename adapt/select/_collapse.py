"""Signs of a model that has collapsed on the target."""

from typing import Any

import torch
from torch import Tensor

from adapt.ranking import arrays
from losses.options import COUNT, check

LEAST_CLASSES = 0.25  # of the source's effective classes beyond the first: adaptation to half of the classes must pass
MOST_MOVED = 0.5  # of the predicted mass that would have to change the class
LEAST_VARIANCE = 1e-3  # of the source's variance


def effective_classes(labels: Tensor, classes: int) -> float:
    r"""Return the exponential of the entropy of the class counts, :math:`e^{H(q)}`: an effective number of classes.

    >>> effective_classes(torch.tensor([0, 0, 1, 1]), classes=10)
    2.0
    """
    check(COUNT, classes=classes)
    q = marginal(labels, classes)
    return round(float((-torch.special.xlogy(q, q).sum()).exp()), 12)


def marginal(labels: Tensor, classes: int) -> Tensor:
    """Return the ``(classes,)`` shares of the classes among ``(n,)`` labels."""
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def collapse(
    target_logits: Any,
    source_labels: Any,
    *,
    target_features: Any = None,
    source_features: Any = None,
    source_only_logits: Any = None,
) -> list[str]:
    r"""Return reasons to believe that a model has collapsed on the target; an empty list without such signs.

    With :math:`q` the shares of the predicted classes on the target, :math:`\pi` the shares of the source's labels, and
    :math:`q^0` the shares of the classes that the source-only model predicts on the target:

    - too few classes: :math:`e^{H(q)} - 1 < \tfrac14 (e^{H(\pi)} - 1)`;
    - an implausible mixture: :math:`\mathrm{TV}(q, \pi) > \tfrac12` and :math:`\mathrm{TV}(q, q^0) > \tfrac12`
      (without `source_only_logits`, the first alone);
    - constant features: the variance of the target's features below a thousandth of the source's;
    - outputs that are not finite.

    Args:
        target_logits: ``(m, classes)``.
        source_labels: ``(n,)`` of the source.
        target_features, source_features: ``(m, d)``, ``(n, d)``; default: the variance of features is not checked.
        source_only_logits: ``(m, classes)`` of the model without adaptation on the same target rows.

    Returns:
        Sentences.

    Raises:
        ValueError: shapes.

    The thresholds are fixed, and wide on purpose. A quarter, because a target with half of the source's classes is an
    ordinary case and must pass; with two balanced classes the limit is at 94 to 6. A half, because a shift of class
    shares that moves more than half of the rows is rarer than a failed alignment; the predictions of the source-only
    model can confirm such a shift. Without labels, a larger label shift cannot be told from a collapse.
    """
    y = torch.as_tensor(source_labels).cpu()
    try:
        z = arrays.logits("target_logits", target_logits)
        features = [
            arrays.features(name, x)
            for name, x in (("target_features", target_features), ("source_features", source_features))
            if x is not None
        ]
    except arrays.NotFinite as error:
        return [str(error)]
    classes = z.shape[1]
    y = arrays.labels("source_labels", source_labels, len(y), classes)
    predicted, found = z.argmax(1), []

    expected, seen = effective_classes(y, classes), effective_classes(predicted, classes)
    if seen - 1 < LEAST_CLASSES * (expected - 1):
        found.append(f"target predictions spread over {seen:.1f} effective classes, the source has {expected:.1f}")

    q = marginal(predicted, classes)
    moved = [_total_variation(q, marginal(y, classes))]
    if source_only_logits is not None:
        z0 = arrays.logits("source_only_logits", source_only_logits)
        moved.append(_total_variation(q, marginal(z0.argmax(1), classes)))
    if min(moved) > MOST_MOVED:
        found.append(f"{min(moved):.0%} of the target predictions would have to change the class to match the source")

    if len(features) == 2:
        spread_t, spread_s = (x.var(0, correction=0).sum() for x in features)
        if spread_t < LEAST_VARIANCE * spread_s or spread_t == 0:
            found.append("target features hardly differ from row to row")
    return found


def _total_variation(q: Tensor, p: Tensor) -> float:
    """Return the total variation distance: the share of rows that would have to change the class."""
    return 0.5 * float((q - p).abs().sum())
