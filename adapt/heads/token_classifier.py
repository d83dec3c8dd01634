"""A class for each token."""

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.classifier import check_features
from adapt.heads.score import Score, ratio
from losses import gather


class TokenClassifier(nn.Module):
    r"""A linear layer from the features of each token to class logits, after dropout.

    .. math:: \frac{1}{|P|} \sum_{(i, j) \in P} -\log p_{ij, y_{ij}}, \qquad P = \{ (i, j) : y_{ij} \text{ is there} \}

    with p the softmax of the logits: the mean over tokens, not over sentences, so a long sentence counts for more.

    Args:
        dim: feature size, ``encoder.dim``.
        classes: how many, or their names.
        missing: the label of padding, and of a token whose class is not known; -1.
        dropout: share of features dropped in training; 0.

    Shapes: features ``(n, length, dim)`` to logits ``(n, length, classes)``; labels ``(n, length)``.

    On several ranks: the mean over the tokens of all of them, exact, though each rank has another number of them.

    Raises:
        ValueError: fewer than two classes; `missing` is a class; features of another size or without tokens.
    """

    def __init__(self, dim: int, classes: int | list[str], *, missing: int = -1, dropout: float = 0.0):
        super().__init__()
        self.names = [str(c) for c in (range(classes) if isinstance(classes, int) else classes)]
        self.classes = len(self.names)
        if self.classes < 2:
            raise ValueError(f"`classes` must be at least 2, got {self.classes}.")
        if 0 <= missing < self.classes:
            raise ValueError(f"`missing` must be no class, got {missing} with classes 0 to {self.classes - 1}.")
        self.dim, self.missing, self.dropout = dim, missing, nn.Dropout(dropout)
        self.linear = nn.Linear(dim, self.classes)

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        if features.ndim != 3:
            raise ValueError(f"`features` must be (n, length, {self.dim}), got {tuple(features.shape)}.")
        return self.linear(self.dropout(features))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the tokens that have a label; 0 where none has."""
        return token_cross_entropy(logits, labels, self.missing)

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Accuracy over tokens, with a 95 % interval over sentences, since the tokens of one are alike; n counts sentences."""
        there = labels != self.missing
        hits = (logits.argmax(-1) == labels) & there
        return ratio("token accuracy", hits.sum(1), there.sum(1))

    def check(self, labels: Tensor) -> None:
        """Raise unless `labels` are ``(n, length)`` integers in [0, classes), or missing. Reads them: a host synchronisation on a GPU."""
        if labels.is_floating_point() or labels.ndim != 2:
            raise ValueError(
                f"`labels` of a token classifier must be (n, length) integers, got shape {tuple(labels.shape)} of {labels.dtype}."
            )
        there = labels[labels != self.missing]
        if len(there) and not 0 <= int(there.min()) <= int(there.max()) < self.classes:
            raise ValueError(
                f"`labels` must be in [0, {self.classes}), or {self.missing} where missing, found {int(there.min())} to "
                f"{int(there.max())}; give the head more classes, renumber the labels, or give it another `missing`."
            )


def token_cross_entropy(logits: Tensor, labels: Tensor, missing: int = -1) -> Tensor:
    """The mean over the labelled tokens of all ranks.

    Args:
        logits: ``(..., classes)``, say ``(n, length, classes)``.
        labels: ``(...)``.
        missing: of a token that does not count.
    """
    counts = gather((labels != missing).sum()[None])
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=missing, reduction="sum")
    # this rank's share: the mean over the ranks is then the mean over all tokens
    return total * len(counts) / counts.sum().clamp_min(1)
