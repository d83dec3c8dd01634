"""Several labels per row. No label excludes another."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.score import Score, average
from adapt.heads.sizes import check_dropout, check_features, names_of
from adapt.protocols import HasDim, dim_of


class MultiLabel(nn.Module):
    """A linear layer from features to one logit per label, after dropout.

    The head has no attribute `classes`, because its labels do not exclude one another. Methods on features alone (DANN,
    MMD, CORAL, ...) adapt the head; methods with a class per row refuse the head with a clear error.

    Args:
        encoder: an encoder, or a feature size.
        labels: the number of labels, or their names.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to logits ``(n, labels)``; the labels are ``(n, labels)`` of 0 and 1.

    Raises:
        ValueError: no label; a dropout outside [0, 1); features of another size.
    """

    def __init__(self, encoder: HasDim | int, labels: int | Sequence[str], *, dropout: float = 0.0):
        super().__init__()
        check_dropout(dropout)
        self.names, self.dim = names_of(labels, "`labels`", least=1), dim_of(encoder)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(self.dim, len(self.names))

    def extra_repr(self) -> str:
        return f"labels={len(self.names)}"

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.linear(self.dropout(features))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean binary cross-entropy over rows and labels."""
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return ``(n,)``, the share of right labels per row, after a check of the labels."""
        self.check(labels)
        return ((logits > 0) == (labels > 0.5)).double().mean(1)

    def score(self, measures: Tensor, units: Tensor | None = None) -> Score:
        """Return the share of right labels per row, averaged over rows, with the normal 95 % interval.

        Args:
            units: the unit of each row where rows belong together, as in :meth:`Classifier.score`.
        """
        return average("label accuracy", measures, higher_is_better=True, units=units)

    def observe(self, logits: Tensor) -> Tensor:
        """Return ``(n, labels)`` predictions of 0 and 1."""
        return (logits > 0).to(torch.uint8)

    def summary(self, observations: Tensor) -> dict[str, float]:
        """Return the share of rows with each predicted label, by name."""
        shares = observations.double().mean(0).tolist()
        return {f"predicted/{name}": share for name, share in zip(self.names, shares, strict=True)}

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, labels)`` of 0 and 1. A host synchronisation on a GPU."""
        expected = (len(labels), len(self.names))
        if tuple(labels.shape) != expected or not bool(torch.logical_or(labels == 0, labels == 1).all()):
            raise ValueError(
                f"`labels` of this head must be {expected} of 0 and 1, got shape {tuple(labels.shape)} "
                f"with values from {labels.min().item()} to {labels.max().item()}."
            )
