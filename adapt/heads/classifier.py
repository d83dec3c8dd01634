"""Classes from features."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.heads.areas import MOST_CLASSES, class_area
from adapt.heads.class_values import calibration_error, class_values, confidence_of, count_pairs
from adapt.heads.labels import MISSING, check_range, complete, mean_of_present, present, whole_numbers
from adapt.heads.observations import class_summary, observe_classes
from adapt.heads.score import Score, proportion
from adapt.heads.sizes import check_features, names_of
from adapt.heads.weighing import Weight, balanced, check_smoothing, check_weight, weights_of
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, WHOLE, check


class Classifier(nn.Module):
    r"""A linear layer from features to class logits, after dropout.

    Args:
        encoder: an encoder, or a feature size.
        classes: the number of classes, or their names.
        dropout: share of features dropped in training; 0.
        weight: one number per class, the weight of the rows of the class in the loss, as in torch's ``cross_entropy``;
            or ``"balanced"``: :math:`n / (C\, n_c)` from the labels of the first labelled stream that the head learns
            from, as in scikit-learn. None: every row has weight 1.
        label_smoothing: :math:`\varepsilon` in [0, 1): the labels become :math:`1 - \varepsilon + \varepsilon / C`
            and :math:`\varepsilon / C`, as in torch; 0.

    Shapes: features ``(n, dim)`` to logits ``(n, classes)``.

    Attributes:
        names: the names of the classes; "0", "1", ... where none were given.
        weight: a tuple of numbers, None, or ``"balanced"`` before the labels are known.

    Raises:
        TypeError: `encoder` is neither an encoder nor a size.
        ValueError: fewer than two classes; a dropout or a smoothing outside [0, 1); features of another size; weights
            that are negative, all zero, or not one per class.

    >>> Classifier(8, classes=["cat", "dog"])(torch.zeros(5, 8)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        encoder: HasDim | int,
        classes: int | Sequence[str],
        *,
        dropout: float = 0.0,
        weight: Weight | Tensor = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        check(BELOW_1, dropout=dropout)
        self.names = names_of(classes)
        self.weight, self.label_smoothing = check_weight(weight, self.names), check_smoothing(label_smoothing)
        self.classes, self.dim = len(self.names), dim_of(encoder)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(self.dim, self.classes)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.linear(self.dropout(features))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        sizes = {"encoder": self.dim, "classes": self.names, "dropout": self.dropout.p}
        return "adapt.heads.Classifier", sizes | {"weight": self.weight, "label_smoothing": self.label_smoothing}

    def extra_repr(self) -> str:
        weight = "" if self.weight is None else f"weight={self.weight!r}"
        smoothing = f"label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return ", ".join(filter(None, (weight, smoothing)))

    def predict(self, logits: Tensor) -> Tensor:
        """Return ``(n,)``, the number of the class with the largest logit."""
        return logits.argmax(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``(n, classes)``, the softmax of the logits."""
        return logits.softmax(1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""Return the mean cross-entropy of ``(n, classes)`` logits over the rows of all ranks with a label.

        With class weights the mean is weighted: :math:`\sum_i w_{y_i} \ell_i / \sum_i w_{y_i}`, both sums over the rows
        of all ranks. A label of -1 is missing. The loss is 0 where no row of any rank has a label.

        Raises:
            ValueError: balanced weights before the labels are known.
        """
        if self.weight is None and not self.label_smoothing:
            return class_cross_entropy(logits, labels)
        return losses.weighted_cross_entropy(
            logits,
            labels.long(),
            weights=labels != MISSING,
            class_weights=weights_of(self.weight, logits.dtype, logits.device),
            label_smoothing=self.label_smoothing,
        )

    def count(self, labels: Tensor) -> float:
        """Return what the loss of a batch is divided by: the number of labels that are there, or their weights."""
        there = labels[present(labels)]
        weights = weights_of(self.weight, torch.float64, there.device)
        return len(there) if weights is None else weights[there.long()].sum().item()

    def learn_from(self, labels: Tensor | None) -> None:
        """Compute balanced weights from ``(n,)`` labels, where the head was made with ``"balanced"`` and has none yet.

        A trainer calls this method with the labels of the stream; None where the labels do not lie in memory.

        Raises:
            ValueError: labels that do not lie in memory; a class without a label.
        """
        if self.weight == "balanced" and labels is None:
            weights_of(self.weight, torch.float32, torch.device("cpu"))
        elif labels is not None and self.weight == "balanced":
            self.weight = balanced(labels, self.names)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n,)`` booleans: True where a label is not -1."""
        return present(labels)

    def measure(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``(n,)`` labels, predicted classes, and confidences, the probabilities of the predicted classes; with
        up to 100 classes ``(n, classes)`` probabilities too, for the AUC.

        Raises:
            ValueError: labels that :meth:`check` refuses.
        """
        self.check(labels)
        found = {"label": labels.long(), "predicted": logits.argmax(1), "confidence": confidence_of(logits)}
        return found | ({"probabilities": logits.softmax(1)} if self.classes <= MOST_CLASSES else {})

    def score(self, measures: Mapping[str, Tensor], units: Tensor | None = None) -> Score:
        """Return the accuracy with Wilson's 95 % interval, and further values.

        Further values: balanced accuracy, macro F1, the calibration error in 15 bins, the accuracy of each class, and
        with up to 100 classes the AUC (:func:`adapt.heads.areas.class_area`): of class 1 where there are two classes,
        else the mean over each class against the other classes. A row with the label -1 has no label and does not
        count.

        Args:
            units: ``(n,)``, the number of the unit of each row where rows belong together: the interval is then an
                interval over units, see :func:`adapt.heads.ratio`.
        """
        return accuracy(measures, self.names, units)

    def observe(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``(n,)`` predicted classes and entropies, which need no labels."""
        return observe_classes(logits)

    def summary(self, observations: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the shares of the predicted classes and the mean entropy in nats, by name."""
        return class_summary(observations, self.names)

    def confusion(self, measures: Mapping[str, Tensor]) -> Tensor:
        """Return ``(classes, classes)`` counts: the row is the true class, the column the predicted class."""
        return count_pairs(measures["label"], measures["predicted"], self.classes)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n,)`` integers in [0, classes), or -1 where missing.

        A host synchronisation on a GPU.
        """
        labels = whole_numbers(labels, "a classifier", "(n,)", 1)
        check_range(labels, self.classes, more="; for rows of unknown classes take heads.OneVsAll")


def class_cross_entropy(logits: Tensor, labels: Tensor, missing: int = MISSING) -> Tensor:
    """Return the mean cross-entropy over the labels of all ranks that are there; 0 where no rank has a label.

    Args:
        logits: ``(..., classes)``, for example ``(n, classes)`` or ``(n, length, classes)``.
        labels: ``(...)`` integers.
        missing: the label that does not count.
    """
    check(WHOLE, missing=missing)
    labels = labels.long()
    if labels.ndim == 1 and complete(labels, missing):  # saves eight small operations
        return F.cross_entropy(logits, labels)
    total = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels.flatten(), ignore_index=missing, reduction="sum"
    )
    return mean_of_present(total, labels != missing)


def accuracy(measures: Mapping[str, Tensor], names: Sequence[str], units: Tensor | None = None) -> Score:
    """Return the accuracy of the rows with a label, and further values.

    Args:
        measures: ``label`` and ``predicted``, ``confidence`` for the calibration error, ``probabilities`` for the AUC.
        names: of the classes.
        units: the unit of each row, or None.
    """
    there = measures["label"] != MISSING
    label, predicted = measures["label"][there], measures["predicted"][there]
    hits = label == predicted
    found = proportion("accuracy", hits, units=None if units is None else units[there])
    calibration = {}
    if "confidence" in measures:
        calibration["calibration error"] = calibration_error(hits, measures["confidence"][there])
    areas = class_area(measures["probabilities"][there], label) if "probabilities" in measures else {}
    return replace(found, further=calibration | areas | class_values(label, predicted, names))


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``(classes, classes)`` counts of rows or tokens: the row is the true class, the column the predicted
    class.

    Labels outside of the classes, such as -1 for padding, are not counted.
    """
    return count_pairs(labels.flatten(), logits.argmax(-1).flatten(), logits.shape[-1])
