"""Has the model collapsed on the target?"""

from typing import Any

import torch
from torch import Tensor

from adapt.ranking import arrays

FEWER = 0.25  # of the source's effective classes beyond the first: an adaptation to half of the classes must pass
MOVED = 0.5  # of the predicted mass that would have to change its class
SPREAD = 1e-3  # of the source's variance


def effective_classes(labels: Tensor, classes: int) -> float:
    r"""Exponential of the entropy of the class counts, :math:`e^{H(q)}`: classes that the rows seem to be spread over.

    >>> effective_classes(torch.tensor([0, 0, 1, 1]), classes=10)
    2.0
    """
    q = marginal(labels, classes)
    return round(float((-torch.special.xlogy(q, q).sum()).exp()), 12)


def marginal(labels: Tensor, classes: int) -> Tensor:
    """``(classes,)`` shares of the classes among ``(n,)`` labels."""
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def collapse(
    target_logits: Any,
    source_labels: Any,
    *,
    target_features: Any = None,
    source_features: Any = None,
    source_only_logits: Any = None,
) -> list[str]:
    r"""Reasons to believe that a model has collapsed on the target; none if it looks alive.

    With :math:`q` the shares of the predicted classes on the target, :math:`\pi` those of the source's labels, and
    :math:`q^0` those that the source-only model predicts on the target:

    - too few classes: :math:`e^{H(q)} - 1 < \tfrac14 (e^{H(\pi)} - 1)`;
    - an implausible mixture: :math:`\mathrm{TV}(q, \pi) > \tfrac12` and :math:`\mathrm{TV}(q, q^0) > \tfrac12`
      (without `source_only_logits`, the first alone);
    - constant features: the variance of the target's features below a thousandth of the source's;
    - outputs that are not finite.

    Args:
        target_logits: ``(m, classes)``.
        source_labels: ``(n,)`` of the source.
        target_features, source_features: ``(m, d)``, ``(n, d)``; without them features are not looked at.
        source_only_logits: ``(m, classes)`` of the model without adaptation on the same target rows.

    Returns:
        Sentences.

    Raises:
        ValueError: shapes.

    The thresholds are fixed, and wide on purpose. A quarter, because a target that holds half of the source's classes is
    an ordinary case and must pass; in two balanced classes the line is at 94 to 6. A half, because a shift of class
    shares that moves more than half of the rows is rarer than a failed alignment; and the source-only model may vouch
    for it. True label shift beyond this looks like collapse to anybody without labels.
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
    if seen - 1 < FEWER * (expected - 1):
        found.append(f"its target predictions spread over {seen:.1f} effective classes, the source has {expected:.1f}")

    q = marginal(predicted, classes)
    moved = [_moved(q, marginal(y, classes))]
    if source_only_logits is not None:
        z0 = arrays.logits("source_only_logits", source_only_logits)
        moved.append(_moved(q, marginal(z0.argmax(1), classes)))
    if min(moved) > MOVED:
        found.append(f"{min(moved):.0%} of its target predictions would have to change their class to match the source")

    if len(features) == 2:
        spread_t, spread_s = (x.var(0, correction=0).sum() for x in features)
        if spread_t < SPREAD * spread_s or spread_t == 0:
            found.append("its target features hardly differ from row to row")
    return found


def _moved(q: Tensor, p: Tensor) -> float:
    """Total variation, the share of rows that would have to change."""
    return 0.5 * float((q - p).abs().sum())
