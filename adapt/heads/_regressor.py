"""Numbers from features."""

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.classifier import check_features
from adapt.heads.score import Score, average


class Regressor(nn.Module):
    """A linear layer from features to one or several numbers, after dropout.

    Args:
        dim: feature size, ``encoder.dim``.
        outputs: how many numbers a row.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to ``(n, outputs)``, or ``(n,)`` where `outputs` is 1.

    Raises:
        ValueError: features of another size.
    """

    def __init__(self, dim: int, outputs: int = 1, *, dropout: float = 0.0):
        super().__init__()
        self.dim, self.outputs, self.dropout = dim, outputs, nn.Dropout(dropout)
        self.linear = nn.Linear(dim, outputs)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        predicted = self.linear(self.dropout(features))
        return predicted.squeeze(-1) if self.outputs == 1 else predicted

    def loss(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error over rows and outputs."""
        return F.mse_loss(predicted, labels.to(predicted.dtype))

    def score(self, predicted: Tensor, labels: Tensor) -> Score:
        """Mean absolute error over outputs, averaged over rows, with its normal 95 % interval."""
        errors = (predicted - labels).abs().reshape(len(labels), -1).mean(1)
        return average("mean absolute error", errors, higher_is_better=False)

    def check(self, labels: Tensor) -> None:
        """Raise unless `labels` have the shape of the predictions (without it, a loss would broadcast in silence)."""
        expected = (len(labels),) if self.outputs == 1 else (len(labels), self.outputs)
        if tuple(labels.shape) != expected:
            raise ValueError(
                f"`labels` of a regressor with {self.outputs} output(s) must be {expected}, got {tuple(labels.shape)}; "
                "reshape them."
            )
