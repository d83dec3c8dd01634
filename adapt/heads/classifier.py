"""Classes from features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.score import Score, proportion


class Classifier(nn.Module):
    """A linear layer from features to class logits, after dropout.

    Args:
        dim: feature size, ``encoder.dim``.
        classes: how many, or their names.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to logits ``(n, classes)``.

    Raises:
        ValueError: fewer than two classes; features of another size.
    """

    def __init__(self, dim: int, classes: int | list[str], *, dropout: float = 0.0):
        super().__init__()
        self.names = [str(c) for c in (range(classes) if isinstance(classes, int) else classes)]
        self.classes = len(self.names)
        if self.classes < 2:
            raise ValueError(f"`classes` must be at least 2, got {self.classes}.")
        self.dim, self.dropout, self.linear = dim, nn.Dropout(dropout), nn.Linear(dim, self.classes)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.linear(self.dropout(features))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of ``(n, classes)`` logits with ``(n,)`` labels."""
        return F.cross_entropy(logits, labels)

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Accuracy with Wilson's 95 % interval."""
        return proportion("accuracy", logits.argmax(1) == labels)

    def check(self, labels: Tensor) -> None:
        """Raise unless `labels` are integers in [0, classes). Reads their extremes: a host synchronisation on a GPU."""
        if labels.is_floating_point() or labels.ndim != 1:
            tokens = "; for a class a token there is heads.TokenClassifier" if labels.ndim == 2 else ""
            raise ValueError(
                f"`labels` of a classifier must be (n,) integers, got shape {tuple(labels.shape)} of {labels.dtype}{tokens}."
            )
        low, high = (int(v) for v in labels.aminmax())
        if low < 0 or high >= self.classes:
            raise ValueError(
                f"`labels` must be in [0, {self.classes}) for a head of {self.classes} classes, found {low} to {high}; "
                "give the head more classes or renumber the labels."
            )


def check_features(features: Tensor, dim: int) -> None:
    """Raise unless `features` end in the size that the head was made for."""
    if features.shape[-1] != dim:
        raise ValueError(
            f"`features` must have size {dim}, got {features.shape[-1]}: make the head with the encoder's own "
            f"`encoder.dim`."
        )


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """``(classes, classes)`` counts: row the true class, column the predicted one; of rows, or of tokens.

    Labels outside of the classes, such as -1 for padding, are not counted.
    """
    classes = logits.shape[-1]
    pairs = (labels * classes + logits.argmax(-1))[(labels >= 0) & (labels < classes)]
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)
