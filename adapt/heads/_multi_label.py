"""Several labels a row, none of which excludes another."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.classifier import check_features
from adapt.heads.score import Score, average


class MultiLabel(nn.Module):
    """A linear layer from features to one logit a label, after dropout.

    It has no `classes` that exclude one another: methods that look at features alone (DANN, MMD, CORAL, ...) adapt it, and
    those that ask for one class a row say that they cannot.

    Args:
        dim: feature size, ``encoder.dim``.
        labels: how many, or their names.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to logits ``(n, labels)``; the labels are ``(n, labels)`` of 0 and 1.

    Raises:
        ValueError: no label; features of another size.
    """

    def __init__(self, dim: int, labels: int | list[str], *, dropout: float = 0.0):
        super().__init__()
        self.names = [str(c) for c in (range(labels) if isinstance(labels, int) else labels)]
        if not self.names:
            raise ValueError("`labels` must be at least 1, got none.")
        self.dim, self.dropout, self.linear = dim, nn.Dropout(dropout), nn.Linear(dim, len(self.names))

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.linear(self.dropout(features))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean binary cross-entropy over rows and labels."""
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Share of the labels of a row that are right, averaged over rows, with its normal 95 % interval."""
        return average("label accuracy", ((logits > 0) == (labels > 0.5)).double().mean(1), higher_is_better=True)

    def check(self, labels: Tensor) -> None:
        """Raise unless `labels` are ``(n, labels)`` of 0 and 1. Reads them: a host synchronisation on a GPU."""
        expected = (len(labels), len(self.names))
        if tuple(labels.shape) != expected or not bool(torch.logical_or(labels == 0, labels == 1).all()):
            raise ValueError(
                f"`labels` of this head must be {expected} of 0 and 1, got shape {tuple(labels.shape)} with values from "
                f"{labels.min().item()} to {labels.max().item()}."
            )
