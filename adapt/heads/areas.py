"""The area under the receiver operating characteristic curve, of classes and of labels."""

import torch
from torch import Tensor

MOST_CLASSES = 100  # an area needs the probabilities of all rows: 400 bytes per row for 100 classes


def area(scores: Tensor, positive: Tensor) -> float:
    r"""Return the area under the curve (AUC) of ``(n,)`` scores; a tie counts one half.

    .. math:: \frac{1}{n_+ n_-} \sum_{i \in +} \sum_{j \in -}
        \Bigl( \mathbb 1[s_i > s_j] + \tfrac12 \mathbb 1[s_i = s_j] \Bigr)

    Args:
        positive: ``(n,)`` booleans, of both kinds.

    Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve, 1982,
    https://doi.org/10.1148/radiology.143.1.7063747

    >>> area(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([False, False, True, True]))
    0.875
    """
    values, place = scores.unique(return_inverse=True)
    hits, misses = (torch.bincount(place[rows], minlength=len(values)).double() for rows in (positive, ~positive))
    pairs = hits.sum() * misses.sum()
    below = misses.cumsum(0) - misses
    return ((hits * (below + misses / 2)).sum() / pairs).item()


def class_area(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the area of class 1 against class 0, or with more classes the mean of the areas of each class against
    the other classes, under the name ``"AUC"``.

    Equal to ``roc_auc_score(labels, p[:, 1])`` and ``roc_auc_score(labels, p, multi_class="ovr")`` of scikit-learn. A
    class that has no row, or all rows, does not count. Empty where no class counts.

    Args:
        probabilities: p ``(n, classes)``.
        labels: ``(n,)``.
    """
    used = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    mixed = [k for k in used if 0 < int((labels == k).sum()) < len(labels)]
    found = [area(probabilities[:, k], labels == k) for k in mixed]
    return {"AUC": sum(found) / len(found)} if found else {}
