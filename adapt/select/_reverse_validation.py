"""Validation in reverse: from the target's pseudo-labels back to the source's labels."""

import warnings
from typing import Any

from adapt.ranking import arrays
from losses.options import POSITIVE, check


def reverse_validation(
    target_features: Any, target_logits: Any, source_features: Any, source_labels: Any, *, strength: float = 0.1
) -> float:
    r"""Compute the source accuracy of a classifier that learned from the target's predicted classes alone.

    .. math:: \frac1n \sum_i \mathbb 1[h(x^s_i) = y_i], \qquad
        h = \arg\min_h \sum_j \ell(h(x^t_j), \hat y^t_j) + \text{penalty}

    h is a logistic regression on standardised features (mean and deviation of the target), in place of a second
    training of the whole method. Inputs, or features of another model, can be given in place of the model's features.

    Args:
        target_features: ``(m, d)``.
        target_logits: ``(m, classes)``; their arg max is the pseudo-label.
        source_features: ``(n, d)`` of held-out source rows.
        source_labels: ``(n,)``.
        strength: inverse penalty of the regression, scikit-learn's C; 0.1, because pseudo-labels are noisy.

    Returns:
        A number in [0, 1]; higher is better. Where the target has one predicted class, the share of that class in the
        source.

    Raises:
        ValueError: shapes, numbers that are not finite.

    The score fails where two classes were swapped both ways, and after a good adaptation to a label shift, because the
    regression then has few rows of a class. pytorch-adapt's ``ReverseValidator`` runs the whole method twice through
    its framework.

    Bruzzone and Marconcini, Domain Adaptation Problems: A DASVM Classification Technique and a Circular Validation
    Strategy, 2010, https://doi.org/10.1109/TPAMI.2009.57; Ganin et al., 2016, section 5.1.2,
    https://arxiv.org/abs/1505.07818

    >>> t, z = [[0.0], [0.1], [5.0], [5.1]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    >>> reverse_validation(t, z, [[-1.0], [6.0]], [0, 1])
    1.0
    """
    from sklearn.linear_model import LogisticRegression

    t, z = arrays.features("target_features", target_features), arrays.logits("target_logits", target_logits)
    s = arrays.features("source_features", source_features)
    y = arrays.labels("source_labels", source_labels, len(s), z.shape[1])
    arrays.same_rows("target_features", t, "target_logits", z)
    arrays.same_columns("source_features", s, "target_features", t)
    check(POSITIVE, strength=strength)
    pseudo = z.argmax(1)
    if len(pseudo.unique()) == 1:
        return (y == pseudo[0]).double().mean().item()
    mean, scale = t.mean(0), t.std(0)
    scale = scale.where(scale > 1e-9 * (1 + mean.abs()), scale.new_ones(()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 200 iterations are enough for an arg max
        model = LogisticRegression(C=strength, max_iter=200).fit(((t - mean) / scale).numpy(), pseudo.numpy())
    return float((model.predict(((s - mean) / scale).numpy()) == y.numpy()).mean())
