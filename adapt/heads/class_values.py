"""Further values of classifiers: accuracy of each class, balanced accuracy, macro F1, calibration error."""

from collections.abc import Sequence

import torch
from torch import Tensor

BINS = 15  # of the calibration error, as in the paper


def class_values(labels: Tensor, predicted: Tensor, names: Sequence[str], *, weights: Tensor | None = None) -> dict:
    r"""Return balanced accuracy, macro F1 and the accuracy of each class, by name.

    .. math:: a_k = \frac{\mathrm{hits}_k}{\mathrm{true}_k}, \qquad
        \text{balanced accuracy} = \operatorname{mean}_k a_k, \qquad
        \text{macro F1} = \operatorname{mean}_k \frac{2\,\mathrm{hits}_k}{\mathrm{true}_k + \mathrm{predicted}_k}

    Balanced accuracy is the mean over the classes with a row, macro F1 over the classes with a row or a prediction, as
    in scikit-learn. A class without a row has no accuracy.

    Args:
        labels: ``(n,)``, the true classes.
        predicted: ``(n,)``.
        names: of the classes. A class behind the last name, such as an unknown class, has the number as name.
        weights: ``(n,)``, how often each pair of classes counts; once.
    """
    size = max(len(names), int(labels.max()) + 1, int(predicted.max()) + 1)
    weight = torch.ones(len(labels)) if weights is None else weights
    weight = weight.double()
    hit = labels == predicted
    true, guessed, hits = (
        torch.bincount(rows, counted, minlength=size)
        for rows, counted in ((labels, weight), (predicted, weight), (labels[hit], weight[hit]))
    )
    there, used = true > 0, true + guessed > 0
    accuracy = hits[there] / true[there]
    found = {
        "balanced accuracy": accuracy.mean().item(),
        "macro F1": (2 * hits[used] / (true + guessed)[used]).mean().item(),
    }
    for k, value in zip(there.nonzero().flatten().tolist(), accuracy.tolist(), strict=True):
        found[f"accuracy of {names[k] if k < len(names) else k}"] = value
    return found


def confidence_of(logits: Tensor) -> Tensor:
    """Return ``(...)``, the largest probability of ``(..., classes)`` logits."""
    return (logits.amax(-1) - logits.logsumexp(-1)).exp()


def bin_of(confidence: Tensor) -> Tensor:
    r"""Return the number of the bin of each confidence: bin b holds :math:`(b/15, (b+1)/15]`, and bin 0 holds 0."""
    return ((confidence.double() * BINS).ceil().long() - 1).clamp(0, BINS - 1)


def calibration_error(hits: Tensor, confidence: Tensor) -> float:
    r"""Return the expected calibration error of ``(n,)`` hits and confidences, in 15 bins of equal width.

    .. math:: \sum_{b=1}^{15} \frac{1}{n} \Bigl| \sum_{i \in b} (\mathrm{hit}_i - \mathrm{confidence}_i) \Bigr|

    Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599
    """
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, bin_of(confidence), hits.double() - confidence.double())
    return gaps.abs().sum().item() / len(hits)


def pair_tables(labels: Tensor, predicted: Tensor, there: Tensor, classes: int) -> list[Tensor]:
    """Return a table ``(m, 3)`` for each row: true class, predicted class, number of places.

    Args:
        labels, predicted: ``(n, ...)``, classes of tokens or pixels.
        there: booleans of this shape: the places that count.
        classes: the number of classes.
    """
    shape = (len(labels), *[1] * (labels.ndim - 1))
    row = torch.arange(len(labels), device=labels.device).view(shape).expand_as(labels)
    codes = ((row * classes + labels) * classes + predicted)[there]
    if len(labels) * classes**2 <= codes.numel():  # no sort of many places
        every = torch.bincount(codes, minlength=len(labels) * classes**2)
        pairs = every.nonzero().flatten()
        counts = every[pairs]
    else:
        pairs, counts = codes.unique(return_counts=True)
    table = torch.stack([pairs // classes % classes, pairs % classes, counts], 1).int()
    per_row = torch.bincount(pairs // classes**2, minlength=len(labels))
    return list(table.split(per_row.tolist()))


def count_pairs(labels: Tensor, predicted: Tensor, classes: int, *, weights: Tensor | None = None) -> Tensor:
    """Return ``(classes, classes)`` counts: the row is the true class, the column the predicted class.

    Labels and predictions outside of the classes are not counted.

    Args:
        weights: how often each pair counts; once.
    """
    kept = (labels >= 0) & (labels < classes) & (predicted < classes)
    pairs = labels[kept] * classes + predicted[kept]
    counts = torch.bincount(pairs, None if weights is None else weights[kept].double(), minlength=classes * classes)
    return counts.long().view(classes, classes)
