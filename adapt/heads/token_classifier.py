"""A class for each token."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.score import Score, ratio
from adapt.heads.sizes import check_dropout, check_features, names_of
from adapt.protocols import HasDim, dim_of
from losses import gather


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
        check_dropout(dropout)
        self.names = names_of(classes)
        self.classes, self.dim = len(self.names), dim_of(encoder)
        if 0 <= missing < self.classes:
            raise ValueError(f"`missing` must be no class, got {missing} with classes 0 to {self.classes - 1}.")
        self.missing, self.dropout, self.linear = missing, nn.Dropout(dropout), nn.Linear(self.dim, self.classes)

    def extra_repr(self) -> str:
        return f"missing={self.missing}"

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        if features.ndim != 3:
            raise ValueError(f"`features` must be (n, length, {self.dim}), got {tuple(features.shape)}.")
        return self.linear(self.dropout(features))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the labelled tokens; 0 where no token has a label."""
        return token_cross_entropy(logits, labels, self.missing)

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Return the accuracy over tokens with a 95 % interval over sentences, since tokens of a sentence are alike.

        The score's `n` counts sentences.
        """
        present = labels != self.missing
        hits = (logits.argmax(-1) == labels) & present
        return ratio("token accuracy", hits.sum(1), present.sum(1))

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are ``(n, length)`` integers in [0, classes), or missing.

        A host synchronisation on a GPU.
        """
        if labels.is_floating_point() or labels.ndim != 2:
            raise ValueError(
                "`labels` of a token classifier must be (n, length) integers, "
                f"got shape {tuple(labels.shape)} of {labels.dtype}."
            )
        present = labels[labels != self.missing]
        if len(present) and not 0 <= int(present.min()) <= int(present.max()) < self.classes:
            raise ValueError(
                f"`labels` must be in [0, {self.classes}), or {self.missing} where missing, "
                f"found {int(present.min())} to {int(present.max())}: give the head more classes, renumber the labels, "
                "or give the head another `missing`."
            )


def token_cross_entropy(logits: Tensor, labels: Tensor, missing: int = -1) -> Tensor:
    """Return the mean cross-entropy over the labelled tokens of all ranks.

    Args:
        logits: ``(..., classes)``, for example ``(n, length, classes)``.
        labels: ``(...)``.
        missing: the label of a token that does not count.
    """
    counts = gather((labels != missing).sum()[None])
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=missing, reduction="sum")
    # the share of this rank: the mean over the ranks is then the mean over all tokens
    return total * len(counts) / counts.sum().clamp_min(1)
