"""A class for each token."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.class_values import BINS, bin_of, class_values, confidence_of, count_pairs, pair_tables
from adapt.heads.classifier import class_cross_entropy
from adapt.heads.labels import check_missing, check_range, present, whole_numbers
from adapt.heads.score import Score, ratio
from adapt.heads.sizes import check_features, names_of
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, check


class TokenClassifier(nn.Module):
    r"""A linear layer from the features of each token to class logits, after dropout.

    The loss is the mean over the labelled tokens P, with p the softmax of the logits:

    .. math:: \frac{1}{|P|} \sum_{(i, j) \in P} -\log p_{ij, y_{ij}}, \qquad
        P = \{ (i, j) : y_{ij} \text{ is present} \}

    The mean is over tokens, not over sentences, so a long sentence counts for more.

    Args:
        encoder: an encoder, or a feature size.
        classes: the number of classes, or their names.
        missing: the label of padding, and of a token of unknown class; -1.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, length, dim)`` to logits ``(n, length, classes)``; labels ``(n, length)``.

    Several ranks: the loss is the exact mean over the labelled tokens of all ranks; the ranks may hold different
    numbers of tokens.

    Raises:
        ValueError: fewer than two classes; `missing` is a class; a dropout outside [0, 1); features of another size or
            without tokens.
    """

    def __init__(self, encoder: HasDim | int, classes: int | Sequence[str], *, missing: int = -1, dropout: float = 0.0):
        super().__init__()
        check(BELOW_1, dropout=dropout)
        self.names = names_of(classes)
        self.classes, self.dim = len(self.names), dim_of(encoder)
        check_missing(missing, self.classes)
        self.missing, self.dropout, self.linear = missing, nn.Dropout(dropout), nn.Linear(self.dim, self.classes)

    def extra_repr(self) -> str:
        return f"missing={self.missing}"

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        if features.ndim != 3:
            raise ValueError(f"`features` must be (n, length, {self.dim}), got {tuple(features.shape)}.")
        return self.linear(self.dropout(features))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        sizes = {"encoder": self.dim, "classes": self.names}
        return "adapt.heads.TokenClassifier", sizes | {"missing": self.missing, "dropout": self.dropout.p}

    def predict(self, logits: Tensor) -> Tensor:
        """Return ``(n, length)``, the number of the class of each token."""
        return logits.argmax(-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``(n, length, classes)``, the softmax of the logits."""
        return logits.softmax(-1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the labelled tokens; 0 where no token has a label."""
        return class_cross_entropy(logits, labels, self.missing)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n, length)`` booleans: True where a label is not `missing`."""
        return present(labels, self.missing)

    def measure(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return counts per sentence, after a check of the labels.

        Returns:
            ``hits`` and ``counts`` ``(n,)``; ``gaps`` ``(n, 15)``, the sum of hit minus confidence over the tokens in
            each bin of confidence; ``pairs``, a list with a table ``(m, 3)`` for each sentence: true class, predicted
            class, number of tokens.
        """
        self.check(labels)
        labels = labels.long()
        # sixteen sentences at once: a softmax of all logits would double the memory of a batch
        parts = [self._measure(z, y) for z, y in zip(logits.split(16), labels.split(16), strict=True)]
        found: dict[str, Any] = {k: torch.cat([p[k] for p in parts]) for k in ("hits", "counts", "gaps")}
        return found | {"pairs": [table for p in parts for table in p["pairs"]]}

    def _measure(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        there, predicted, confidence = labels != self.missing, logits.argmax(-1), confidence_of(logits)
        hits = (predicted == labels) & there
        gaps = confidence.new_zeros(len(labels), BINS, dtype=torch.float64)
        gaps.scatter_add_(1, bin_of(confidence), (hits.double() - confidence.double()) * there)
        pairs = pair_tables(labels, predicted, there, self.classes)
        return {"hits": hits.sum(1), "counts": there.sum(1), "gaps": gaps, "pairs": pairs}

    def score(self, measures: Mapping[str, Any], units: Tensor | None = None) -> Score:
        """Return the accuracy over tokens with a 95 % interval over sentences, since tokens of a sentence are alike.

        The score's `n` counts sentences. Further values, over tokens: balanced accuracy, macro F1, the calibration
        error in 15 bins, the accuracy of each class.

        Args:
            units: the unit of each sentence where sentences belong together, as in :meth:`Classifier.score`.
        """
        found = ratio("token accuracy", measures["hits"], measures["counts"], units=units)
        label, predicted, counts = torch.cat(list(measures["pairs"])).long().T
        error = measures["gaps"].sum(0).abs().sum().item() / int(measures["counts"].sum())
        values = class_values(label, predicted, self.names, weights=counts)
        return replace(found, further={"calibration error": error} | values)

    def confusion(self, measures: Mapping[str, Any]) -> Tensor:
        """Return ``(classes, classes)`` counts of tokens: the row is the true class, the column the predicted class."""
        label, predicted, counts = torch.cat(list(measures["pairs"])).long().T
        return count_pairs(label, predicted, self.classes, weights=counts)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, length)`` integers in [0, classes), or missing.

        A host synchronisation on a GPU.
        """
        labels = whole_numbers(labels, "a token classifier", "(n, length)", 2)
        check_range(labels, self.classes, self.missing, ", or give the head another `missing`")
