"""Classes from features."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.score import Score, proportion
from adapt.heads.sizes import check_dropout, check_features, names_of
from adapt.protocols import HasDim, dim_of


class Classifier(nn.Module):
    """A linear layer from features to class logits, after dropout.

    Args:
        encoder: an encoder, or a feature size.
        classes: the number of classes, or their names.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to logits ``(n, classes)``.

    Attributes:
        names: the names of the classes; "0", "1", ... where none were given.

    Raises:
        TypeError: `encoder` is neither an encoder nor a size.
        ValueError: fewer than two classes; a dropout outside [0, 1); features of another size.

    >>> Classifier(8, classes=["cat", "dog"])(torch.zeros(5, 8)).shape
    torch.Size([5, 2])
    """

    def __init__(self, encoder: HasDim | int, classes: int | Sequence[str], *, dropout: float = 0.0):
        super().__init__()
        check_dropout(dropout)
        self.names = names_of(classes)
        self.classes, self.dim = len(self.names), dim_of(encoder)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(self.dim, self.classes)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.linear(self.dropout(features))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of ``(n, classes)`` logits with ``(n,)`` labels."""
        return F.cross_entropy(logits, labels)

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Return the accuracy with Wilson's 95 % interval."""
        return proportion("accuracy", logits.argmax(1) == labels)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n,)`` integers in [0, classes). A host synchronisation on a GPU."""
        if labels.is_floating_point() or labels.ndim != 1:
            tokens = "; for a class per token take heads.TokenClassifier" if labels.ndim == 2 else ""
            raise ValueError(
                "`labels` of a classifier must be (n,) integers, "
                f"got shape {tuple(labels.shape)} of {labels.dtype}{tokens}."
            )
        low, high = (int(v) for v in labels.aminmax())
        if low < 0 or high >= self.classes:
            raise ValueError(
                f"`labels` must be in [0, {self.classes}) for a head of {self.classes} classes, found {low} to {high}: "
                "give the head more classes or renumber the labels."
            )


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``(classes, classes)`` counts of rows or tokens: the row is the true class, the column the predicted
    class.

    Labels outside of the classes, such as -1 for padding, are not counted.
    """
    classes = logits.shape[-1]
    pairs = (labels * classes + logits.argmax(-1))[(labels >= 0) & (labels < classes)]
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)
