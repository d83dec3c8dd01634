"""Several labels per row. No label excludes another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.areas import area
from adapt.heads.labels import MISSING, masked, mean_of_present, present
from adapt.heads.score import Score, ratio
from adapt.heads.sizes import check_features, names_of
from adapt.protocols import HasDim, dim_of
from losses.options import BELOW_1, check


class MultiLabel(nn.Module):
    """A linear layer from features to one logit per label, after dropout.

    The head has no attribute `classes`, because its labels do not exclude one another. Methods on features alone (DANN,
    MMD, CORAL, ...) adapt the head; methods with a class per row refuse the head with a clear error.

    Args:
        encoder: an encoder, or a feature size.
        labels: the number of labels, or their names.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, dim)`` to logits ``(n, labels)``; the labels are ``(n, labels)`` of 0 and 1, and -1 or NaN
    where missing. The other labels of a row with a missing label count.

    Several ranks: the loss is the exact mean over the labels of all ranks.

    Raises:
        ValueError: no label; a dropout outside [0, 1); features of another size.
    """

    def __init__(self, encoder: HasDim | int, labels: int | Sequence[str], *, dropout: float = 0.0):
        super().__init__()
        check(BELOW_1, dropout=dropout)
        self.names, self.dim = names_of(labels, "`labels`", least=1), dim_of(encoder)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(self.dim, len(self.names))

    def extra_repr(self) -> str:
        return f"labels={len(self.names)}"

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.linear(self.dropout(features))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.MultiLabel", {"encoder": self.dim, "labels": self.names, "dropout": self.dropout.p}

    def predict(self, logits: Tensor) -> Tensor:
        """Return ``(n, labels)`` of booleans: whether the probability of the label is above one half."""
        return logits > 0

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return ``(n, labels)``, the sigmoid of the logits."""
        return logits.sigmoid()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean binary cross-entropy over the labels that are there; 0 where none is."""
        there = known(labels)
        each = F.binary_cross_entropy_with_logits(logits, masked(labels, there).to(logits.dtype), reduction="none")
        return mean_of_present(masked(each, there).sum(), there)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n, labels)`` booleans: True where a label is neither -1 nor NaN."""
        return known(labels)

    def measure(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``(n, labels)`` labels, -1 where missing, predicted labels and logits, after a check of the labels."""
        self.check(labels)
        label = masked(labels, known(labels)).to(torch.int8)
        label = label.masked_fill(~known(labels), MISSING)
        return {"label": label, "predicted": (logits > 0).to(torch.int8), "logits": logits}

    def score(self, measures: Mapping[str, Tensor], units: Tensor | None = None) -> Score:
        """Return the share of right labels, with the 95 % interval over rows, since the labels of a row are alike.

        Further values: accuracy, F1 and AUC of each label, and the means over the labels: balanced accuracy, macro F1
        and AUC. The balanced accuracy of a label is the mean accuracy of the rows with 1 and of the rows with 0. The F1
        of a label without a positive row and without a positive prediction is left out; so are balanced accuracy and
        AUC of a label without both kinds of row.

        Args:
            units: the unit of each row where rows belong together, as in :meth:`Classifier.score`.
        """
        there = measures["label"] != MISSING
        hits = (measures["label"] == measures["predicted"]) & there
        found = ratio("label accuracy", hits.sum(1), there.sum(1), units=units)
        return replace(found, further=label_values(**measures, names=self.names))

    def observe(self, logits: Tensor) -> Tensor:
        """Return ``(n, labels)`` predictions of 0 and 1."""
        return (logits > 0).to(torch.uint8)

    def summary(self, observations: Tensor) -> dict[str, float]:
        """Return the share of rows with each predicted label, by name."""
        shares = observations.double().mean(0).tolist()
        return {f"predicted/{name}": share for name, share in zip(self.names, shares, strict=True)}

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, labels)`` of 0 and 1, or missing: -1 or NaN.

        A host synchronisation on a GPU.
        """
        expected = (len(labels), len(self.names))
        shape = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        if shape != expected:
            raise ValueError(
                f"`labels` of this head must be {expected}, one column per label, got {shape}: give the head as many "
                "labels as there are columns."
            )
        there = labels[known(labels)]
        wrong = there[(there != 0) & (there != 1)]
        if len(wrong):
            raise ValueError(
                f"`labels` of this head must be 0, 1, or -1 or NaN where missing, found {wrong[0].item():.4g}: give "
                "yes-or-no labels, or take heads.Regressor for numbers."
            )


def known(labels: Tensor) -> Tensor:
    """Return booleans: whether a label is neither -1 nor NaN."""
    there = present(labels)
    return there & (labels != MISSING) if labels.is_floating_point() else there


def label_values(label: Tensor, predicted: Tensor, logits: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return balanced accuracy, macro F1 and AUC, and F1, AUC and accuracy of each label, from ``(n, labels)`` of 0, 1
    and -1 where missing.
    """
    there, yes, no = label != MISSING, label == 1, label == 0
    hits = ((label == predicted) & there).sum(0).double()
    both, rejected = (yes & (predicted == 1)).sum(0).double(), (no & (predicted == 0)).sum(0).double()
    positive = yes.sum(0) + ((predicted == 1) & there).sum(0)
    accuracy = {f"accuracy of {n}": (h / c).item() for n, h, c in zip(names, hits, there.sum(0), strict=True) if c}
    f1 = {f"F1 of {n}": (2 * b / p).item() for n, b, p in zip(names, both, positive, strict=True) if p}
    mixed = (yes.any(0) & no.any(0)).nonzero().flatten().tolist()
    auc = {f"AUC of {names[k]}": area(logits[there[:, k], k], yes[there[:, k], k]) for k in mixed}
    balanced = ((both / yes.sum(0) + rejected / no.sum(0)) / 2)[mixed].tolist()
    means = {"balanced accuracy": balanced, "macro F1": list(f1.values()), "AUC": list(auc.values())}
    return {name: sum(values) / len(values) for name, values in means.items() if values} | f1 | auc | accuracy
