"""Classes with an order, such as stars of a review or stages of a disease."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.class_values import count_pairs
from adapt.heads.classifier import class_cross_entropy
from adapt.heads.labels import MISSING, check_range, present, whole_numbers
from adapt.heads.observations import class_summary, observe_classes
from adapt.heads.score import Score, average
from adapt.heads.sizes import check_features, names_of
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, check

LEAST_GAP = 1e-3  # between neighbouring thresholds: no class has the probability 0


class Ordinal(nn.Module):
    r"""Classes with an order from features: the proportional odds model.

    A linear layer gives one number f per row, and K classes share f by K - 1 increasing thresholds:

    .. math:: P(y \ge k) = \sigma(f - \theta_k), \qquad P(y = k) = P(y \ge k) - P(y \ge k + 1)

    The thresholds are increasing by construction, so the cumulative probabilities never cross. The predicted class is
    the median of the probabilities, which has the least expected absolute error.

    Args:
        encoder: an encoder, or a feature size.
        classes: the number of classes, or the names of the classes, from the lowest to the highest.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to logarithms of the probabilities ``(n, classes)``, at least float32. Methods that
    take the logits of a classifier take these logarithms as they are: the softmax gives the probabilities back.

    Several ranks: the loss is the exact mean over the labels of all ranks.

    Raises:
        TypeError: `encoder` is neither an encoder nor a size.
        ValueError: fewer than two classes; a dropout outside [0, 1); features of another size.

    McCullagh, Regression Models for Ordinal Data, 1980, https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    >>> Ordinal(8, classes=["bad", "fair", "good"])(torch.zeros(5, 8)).exp().sum(1)
    tensor([1., 1., 1., 1., 1.], grad_fn=<SumBackward1>)
    """

    def __init__(self, encoder: HasDim | int, classes: int | Sequence[str], *, dropout: float = 0.0):
        super().__init__()
        check(BELOW_1, dropout=dropout)
        self.names, self.dim = names_of(classes), dim_of(encoder)
        self.classes = len(self.names)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(self.dim, 1, bias=False)
        start = (torch.arange(1, self.classes) / self.classes).logit()  # equal classes where f is 0
        self.first = nn.Parameter(start[:1].clone())
        gaps = (start.diff() - LEAST_GAP).clamp_min(LEAST_GAP)
        self.gaps = nn.Parameter(gaps.expm1().log())  # the inverse of softplus

    def extra_repr(self) -> str:
        return f"classes={self.classes}"

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Ordinal", {"encoder": self.dim, "classes": self.names, "dropout": self.dropout.p}

    @property
    def thresholds(self) -> Tensor:
        """The K - 1 increasing thresholds."""
        return torch.cat([self.first, F.softplus(self.gaps) + LEAST_GAP]).cumsum(0)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        value = self.linear(self.dropout(features))
        value = value.to(torch.promote_types(value.dtype, torch.float32))
        above = value - self.thresholds
        low, high = F.pad(F.logsigmoid(above), (1, 0)), F.pad(F.logsigmoid(-above), (0, 1))
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), without cancellation
        between = F.pad((-torch.expm1(-self.thresholds.diff())).log(), (1, 1)) if self.classes > 2 else 0
        return low + high + between

    def predict(self, logits: Tensor) -> Tensor:
        """Return ``(n,)``, the median class."""
        return (logits.softmax(1).cumsum(1)[:, :-1] < 0.5).sum(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``(n, classes)`` probabilities."""
        return logits.softmax(1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean negative log-likelihood over the labels of all ranks that are not -1; 0 where none is."""
        return class_cross_entropy(logits, labels)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n,)`` booleans: True where a label is not -1."""
        return present(labels)

    def measure(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``(n,)`` labels and predicted classes, after a check of the labels."""
        self.check(labels)
        return {"label": labels.long(), "predicted": self.predict(logits)}

    def score(self, measures: Mapping[str, Tensor], units: Tensor | None = None) -> Score:
        r"""Return the mean absolute error in classes, with the 95 % interval; smaller is better.

        Further values: the accuracy, and the quadratic kappa

        .. math:: \kappa = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\frac{1}{n} \sum_i \sum_j (y_i - \hat y_j)^2}

        which is 1 without an error and 0 for predictions that do not depend on the row. The kappa is left out where all
        labels and predictions are one class.

        Args:
            units: the unit of each row where rows belong together, as in :meth:`Classifier.score`.
        """
        there = measures["label"] != MISSING
        label, predicted = measures["label"][there].double(), measures["predicted"][there].double()
        error = (label - predicted).abs()
        units = None if units is None else units[there]
        found = average("mean absolute error", error, higher_is_better=False, units=units)
        further = {"accuracy": (error == 0).double().mean().item()}
        bias = label.mean() - predicted.mean()
        chance = label.var(correction=0) + predicted.var(correction=0) + bias**2
        if chance > 0:
            further["quadratic kappa"] = 1 - (error.square().mean() / chance).item()
        return replace(found, further=further)

    def observe(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``(n,)`` classes of the largest probability and entropies, which need no labels."""
        return observe_classes(logits)

    def summary(self, observations: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the shares of the observed classes and the mean entropy in nats, by name."""
        return class_summary(observations, self.names)

    def confusion(self, measures: Mapping[str, Tensor]) -> Tensor:
        """Return ``(classes, classes)`` counts: the row is the true class, the column the predicted class."""
        return count_pairs(measures["label"], measures["predicted"], self.classes)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n,)`` integers in [0, classes), or -1 where missing.

        A host synchronisation on a GPU.
        """
        check_range(whole_numbers(labels, "an ordinal head", "(n,)", 1), self.classes)
