"""Classes from features, or none of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.heads.classifier import Classifier
from adapt.heads.score import Score, proportion


class OneVsAll(nn.Module):
    r"""A classifier of K classes beside K yes-or-no classifiers, which may say that a row is of no class: OVANet's head.

    Args:
        dim: feature size, ``encoder.dim``.
        classes: how many known ones, or their names.
        dropout: share of features dropped in training, for the classifier alone; 0.

    Shapes: features ``(n, dim)`` to ``(n, 2 K)``: the logits of the classes :math:`z`, then the logits of "is of class k"
    :math:`o`. Terms that ask for the logits of a classifier take ``head.closed``.

    The paper gives each class two outputs and their softmax; only their difference matters, which is :math:`o`.

    Raises:
        ValueError: fewer than two classes; features of another size.

    Saito and Saenko, OVANet: One-vs-All Network for Universal Domain Adaptation, 2021, https://arxiv.org/abs/2104.03344
    """

    def __init__(self, dim: int, classes: int | list[str], *, dropout: float = 0.0):
        super().__init__()
        self.closed = Classifier(dim, classes, dropout=dropout)
        self.names, self.classes = [*self.closed.names, "unknown"], self.closed.classes
        self.open = nn.Linear(dim, self.classes)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.closed(features), self.open(features)], 1)

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        r"""Cross-entropy, and one-vs-all with the hardest negative, a mean over rows:

        .. math:: -\log p_y + \tfrac12 \bigl( -\log \sigma(o_y) + \max_{k \neq y} -\log (1 - \sigma(o_k)) \bigr)

        One half as in the authors' code; the paper has the sum.
        """
        z, o = output.chunk(2, 1)
        own = labels[:, None] == torch.arange(self.classes, device=labels.device)
        yes = -F.logsigmoid(o.gather(1, labels[:, None]))
        hardest = F.softplus(o.masked_fill(own, -torch.inf).amax(1))
        return F.cross_entropy(z, labels) + 0.5 * (yes.mean() + hardest.mean())

    def predict(self, output: Tensor) -> Tensor:
        """``(n,)``, the most probable class, or K where its own yes-or-no classifier says no: unknown."""
        z, o = output.chunk(2, 1)
        label = z.argmax(1)
        yes = o.gather(1, label[:, None]).squeeze(1) > 0
        return torch.where(yes, label, self.classes)

    def score(self, output: Tensor, labels: Tensor) -> Score:
        """Accuracy over the K + 1 classes with Wilson's 95 % interval; unknown rows are labelled K."""
        return proportion("accuracy", self.predict(output) == labels)

    def check(self, labels: Tensor) -> None:
        """Raise unless `labels` are integers in [0, K): it learns from known classes only."""
        self.closed.check(labels)
