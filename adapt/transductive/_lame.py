"""Answers of a batch that agree between neighbours."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.fewshot._label_propagation import nearest
from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network
from losses.options import COUNT, check


def lame(*, neighbours: int = 5, steps: int = 100) -> OnlineMethod:
    r"""Return answers of a batch that agree between neighbours, without any change of the model: LAME.

    .. math:: z_i \leftarrow \mathrm{softmax}\Bigl( \log(p_i + 10^{-10}) + \sum_{j \in N(i)} z_j \Bigr), \qquad
        z_i^0 \propto p_i + 10^{-10}

    until the objective :math:`-\sum_i z_i^\top (\log(p_i + 10^{-10}) + \sum_{j \in N(i)} z_j) - H(z_i)` changes by less
    than a part of 1e-8. N are the nearest other rows of the batch by features of unit length.

    Args:
        neighbours: k, 5 as in the authors' code with a k-NN affinity; at most all other rows.
        steps: most updates, 100 as in the authors' code.

    The gain comes from batches of few classes. With all classes in a batch the method loses; a batch of one row gets
    the answer of the model.

    Raises:
        ValueError: options outside of the ranges; features that are not ``(n, d)``.

    Alike, for labelled and unlabelled rows: :func:`adapt.fewshot.laplacian_shot`.

    Boudiaf et al., Parameter-free Online Test-time Adaptation, 2022, https://arxiv.org/abs/2201.05718
    """
    check(COUNT, neighbours=neighbours, steps=steps)
    return OnlineMethod("lame", {"neighbours": neighbours, "steps": steps}, _Lame)


class _Lame(nn.Module):
    def __init__(self, network: Network, neighbours: int, steps: int):
        super().__init__()
        self.network, self.neighbours, self.steps = network, neighbours, steps

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        features = self.network.features(x)
        logits = self.network.logits(features)
        if not learn:
            return logits.log_softmax(1)
        if features.ndim != 2:
            raise ValueError(f"lame needs (n, d) features, got {tuple(features.shape)}: pool the features.")
        unary = (logits.softmax(1) + 1e-10).log()
        near = nearest(F.normalize(features.to(unary), dim=1), self.neighbours)[1]
        log_z, before = unary.log_softmax(1), None
        for _ in range(self.steps):
            pull = unary + log_z.exp()[near].sum(1)
            log_z = pull.log_softmax(1)
            z = log_z.exp()
            # with the pull of before the update, as in the authors' code; a host synchronisation
            objective = float((z * (log_z - pull)).double().sum())
            if before is not None and abs(objective - before) <= 1e-8 * abs(before):
                break
            before = objective
        return log_z
