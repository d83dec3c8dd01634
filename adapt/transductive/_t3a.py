"""The classifier's weights replaced by means of confident target features."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, entropy
from losses.options import COUNT, check


def t3a(*, keep: int = 100) -> OnlineMethod:
    r"""Return a classifier whose class vectors are means of confident target features: T3A.

    .. math:: c_k = \mathrm{unit}\Bigl( \sum_{z \in S_k} \mathrm{unit}(z) \Bigr), \qquad \text{logits} = z^\top c_k

    :math:`S_k` starts with the classifier's own vector :math:`w_k`. Each row of a batch is put into the set of its
    predicted class, with the entropy of the prediction; then each set keeps the entries of lowest entropy. Encoder and
    classifier do not change.

    Args:
        keep: M, most entries for each class, 100. The paper chooses 1, 5, 20, 50, 100 or all on source domains.

    Raises:
        ValueError: `keep` below 1; when the adapter is made: a head with more or less than one linear layer.

    The logits have the lengths of the features, so the probabilities are less sure than the classifier's, and a guard
    would always choose the source model, and is refused: take ``guard=None``.

    Iwasawa and Matsuo, Test-Time Classifier Adjustment Module for Model-Agnostic Domain Generalization, 2021,
    https://openreview.net/forum?id=e_yvNqkJKAW
    """
    check(COUNT, keep=keep)
    return OnlineMethod("t3a", {"keep": keep}, _T3A, False)


class _T3A(nn.Module):
    """Buffers: `vectors` ``(classes, keep, d)`` of unit length, and `entropies` ``(classes, keep)``, infinite where
    empty.
    """

    vectors: Tensor
    entropies: Tensor

    def __init__(self, network: Network, keep: int):
        super().__init__()
        linear = [layer for layer in network.head.modules() if isinstance(layer, nn.Linear)]
        if len(linear) != 1:
            raise ValueError(
                f"t3a replaces the vectors of one linear layer, and the head has {len(linear)}: take a model with "
                "`heads.Classifier`, or `transductive.lame()`."
            )
        self.network, self.keep = network, keep
        w = linear[0].weight.detach()
        logits = network.logits(w)
        vectors, entropies = w.new_zeros(len(w), keep, w.shape[1]), w.new_full((len(w), keep), torch.inf)
        self.register_buffer("vectors", vectors.float())
        self.register_buffer("entropies", entropies.float())
        self._put(w, logits)

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        z = self.network.features(x)
        logits = self.network.logits(z)
        if learn:
            self._put(z, logits)
        c = F.normalize(self.vectors.sum(1), dim=1)
        return (z.to(c) @ c.T).to(logits).log_softmax(1)

    def _put(self, z: Tensor, logits: Tensor) -> None:
        """Put rows into the sets of their predicted classes, and keep the rows of lowest entropy."""
        classes, keep, d = self.vectors.shape
        H, predicted = entropy(logits).to(self.entropies), logits.argmax(1)
        new = F.normalize(z.to(self.vectors), dim=1)
        # one sort by entropy, then a stable sort by class: places inside of a class are places by entropy
        every_H = torch.cat([self.entropies.flatten(), H])
        every_class = torch.cat([torch.arange(classes, device=H.device).repeat_interleave(keep), predicted])
        every = torch.cat([self.vectors.reshape(-1, d), new])
        order = every_H.argsort(stable=True)
        order = order[every_class[order].argsort(stable=True)]
        counts = every_class.bincount(minlength=classes)
        place = torch.arange(len(order), device=H.device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        order = order[place < keep]  # each class has at least `keep` entries, so the rows are classes times keep
        self.vectors.copy_(every[order].view(classes, keep, d))
        self.entropies.copy_(every_H[order].view(classes, keep))
