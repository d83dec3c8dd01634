"""Classes from features, or none of the classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.class_values import count_pairs
from adapt.heads.classifier import Classifier, accuracy, class_cross_entropy
from adapt.heads.labels import MISSING, check_range, masked, mean_of_present, present, whole_numbers
from adapt.heads.observations import class_summary, observe_classes
from adapt.heads.score import Score
from adapt.protocols import HasDim


class OneVsAll(nn.Module):
    r"""A classifier of K classes beside K yes-or-no classifiers: the head of OVANet. The head can say that a row has no
    known class.

    Args:
        encoder: an encoder, or a feature size.
        classes: the number of known classes, or their names.
        dropout: share of features dropped in training, for the classifier alone; 0.

    Shapes: features ``(n, dim)`` to ``(n, 2 K)``: the logits of the classes :math:`z`, then the logits of "the row is
    of class k" :math:`o`. Terms that need the logits of a classifier take ``head.closed``.

    The paper gives each class two outputs with a softmax; the result depends on the difference :math:`o` alone.

    Raises:
        ValueError: fewer than two classes; a dropout outside [0, 1); features of another size.

    Saito and Saenko, OVANet: One-vs-All Network for Universal Domain Adaptation, 2021, https://arxiv.org/abs/2104.03344
    """

    def __init__(self, encoder: HasDim | int, classes: int | Sequence[str], *, dropout: float = 0.0):
        super().__init__()
        self.closed = Classifier(encoder, classes, dropout=dropout)
        self.names, self.classes, self.dim = [*self.closed.names, "unknown"], self.closed.classes, self.closed.dim
        self.open = nn.Linear(self.dim, self.classes)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        known, dropout = self.closed.names, self.closed.dropout.p
        return "adapt.heads.OneVsAll", {"encoder": self.dim, "classes": known, "dropout": dropout}

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.closed(features), self.open(features)], 1)

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        r"""Return the cross-entropy plus the one-vs-all loss with the hardest negative class, a mean over rows.

        A row with the label -1 has no label and does not count.

        .. math:: -\log p_y + \tfrac12 \bigl( -\log \sigma(o_y) + \max_{k \neq y} -\log (1 - \sigma(o_k)) \bigr)

        The factor one half is from the authors' code; the paper has the sum.
        """
        z, o = output.chunk(2, 1)
        labels = labels.long()
        there = labels != MISSING
        own = labels[:, None] == torch.arange(self.classes, device=labels.device)
        yes = -F.logsigmoid(o.gather(1, labels.clamp_min(0)[:, None])).squeeze(1)
        hardest = F.softplus(o.masked_fill(own, -torch.inf).amax(1))
        return class_cross_entropy(z, labels) + 0.5 * mean_of_present(masked(yes + hardest, there).sum(), there)

    def present(self, labels: Tensor) -> Tensor:
        """Return ``(n,)`` booleans: True where a label is not -1."""
        return present(labels)

    def predict(self, output: Tensor) -> Tensor:
        """Return ``(n,)``: the most probable class, or K (unknown) where the yes-or-no classifier of that class says
        no."""
        z, o = output.chunk(2, 1)
        label = z.argmax(1)
        yes = o.gather(1, label[:, None]).squeeze(1) > 0
        return torch.where(yes, label, self.classes)

    def probabilities(self, output: Tensor) -> Tensor:
        """Return ``(n, K)``, the softmax over the known classes: "unknown" has no probability in the paper."""
        return output.chunk(2, 1)[0].softmax(1)

    def measure(self, output: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``(n,)`` labels and predicted classes; unknown rows have the label K."""
        check_range(whole_numbers(labels, "a one-vs-all head", "(n,)", 1), self.classes + 1)
        return {"label": labels.long(), "predicted": self.predict(output)}

    def score(self, measures: Mapping[str, Tensor], units: Tensor | None = None) -> Score:
        """Return the accuracy over the K + 1 classes with Wilson's 95 % interval, and further values.

        Further values: balanced accuracy, macro F1, the accuracy of each class. A row with the label -1 does not count.

        Args:
            units: the unit of each row where rows belong together, as in :meth:`Classifier.score`.
        """
        return accuracy(measures, self.names, units)

    def observe(self, output: Tensor) -> dict[str, Tensor]:
        """Return ``(n,)`` predicted classes, K where unknown, and entropies over the K classes."""
        return observe_classes(output.chunk(2, 1)[0]) | {"predicted": self.predict(output)}

    def summary(self, observations: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the shares of the predicted classes, unknown included, and the mean entropy in nats, by name."""
        return class_summary(observations, self.names)

    def confusion(self, measures: Mapping[str, Tensor]) -> Tensor:
        """Return ``(K + 1, K + 1)`` counts: the row is the true class, the column the predicted class."""
        return count_pairs(measures["label"], measures["predicted"], self.classes + 1)

    def check(self, labels: Tensor) -> None:
        """Raise a ValueError unless `labels` are integers in [0, K), or -1 where missing.

        The head learns from known classes alone.
        """
        self.closed.check(labels)
