"""Outputs on rows without labels, in numbers: shares of predicted classes, entropy, quantiles."""

from collections.abc import Mapping, Sequence

import numpy
import torch
from torch import Tensor

MOST = 30  # classes with a curve each, as in the confusion matrix with numbers
QUANTILES = (0.05, 0.5, 0.95)


def observe_classes(logits: Tensor) -> dict[str, Tensor]:
    r"""Return ``(n,)`` predicted classes and entropies :math:`-\sum_k p_k \log p_k` in nats, p the softmax."""
    return {"predicted": logits.argmax(1), "entropy": torch.special.entr(logits.float().softmax(1)).sum(1)}


def class_summary(observations: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, float]:
    """Return the largest share of a predicted class, the share of each class where there are at most 30, and the mean
    entropy.
    """
    predicted = observations["predicted"]
    shares = torch.bincount(predicted, minlength=len(names)).double() / len(predicted)
    found = {"largest predicted share": shares.max().item()}
    if "entropy" in observations:
        found["entropy"] = observations["entropy"].double().mean().item()
    if len(names) <= MOST:
        found |= {f"predicted/{name}": share for name, share in zip(names, shares.tolist(), strict=True)}
    return found


def number_summary(predictions: Tensor) -> dict[str, float]:
    """Return mean, 5 % quantile, median and 95 % quantile of each output ``(n, outputs)``; several have a number."""
    rows = predictions.double().numpy()  # torch.quantile takes 16 million numbers at most
    values = numpy.concatenate([rows.mean(0)[None], numpy.quantile(rows, QUANTILES, axis=0)])
    names = ("mean", *(f"quantile_{round(100 * q):02d}" for q in QUANTILES))
    return {
        name if rows.shape[1] == 1 else f"{name}/{output}": value
        for name, row in zip(names, values.tolist(), strict=True)
        for output, value in enumerate(row)
    }
