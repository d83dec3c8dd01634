"""Numbers from features."""

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.score import Score, average
from adapt.heads.sizes import check_count, check_dropout, check_features
from adapt.protocols import HasDim, dim_of


class Regressor(nn.Module):
    """A linear layer from features to one or several numbers, after dropout.

    Args:
        encoder: an encoder, or a feature size.
        outputs: how many numbers per row.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to ``(n, outputs)``, or to ``(n,)`` where `outputs` is 1.

    Raises:
        ValueError: sizes below 1; a dropout outside [0, 1); features of another size.
    """

    def __init__(self, encoder: HasDim | int, outputs: int = 1, *, dropout: float = 0.0):
        super().__init__()
        check_count("`outputs`", outputs)
        check_dropout(dropout)
        self.dim, self.outputs, self.dropout = dim_of(encoder), outputs, nn.Dropout(dropout)
        self.linear = nn.Linear(self.dim, outputs)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        predicted = self.linear(self.dropout(features))
        return predicted.squeeze(-1) if self.outputs == 1 else predicted

    def loss(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """Return the mean squared error over rows and outputs."""
        return F.mse_loss(predicted, labels.to(predicted.dtype))

    def score(self, predicted: Tensor, labels: Tensor) -> Score:
        """Return the mean absolute error over outputs, averaged over rows, with the normal 95 % interval."""
        errors = (predicted - labels).abs().reshape(len(labels), -1).mean(1)
        return average("mean absolute error", errors, higher_is_better=False)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` have the shape of the predictions; a loss would broadcast in silence."""
        expected = (len(labels),) if self.outputs == 1 else (len(labels), self.outputs)
        if tuple(labels.shape) != expected:
            raise ValueError(
                f"`labels` of a regressor with {self.outputs} output(s) must be {expected}, got {tuple(labels.shape)}: "
                "reshape the labels."
            )
