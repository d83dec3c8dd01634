"""Prototypes rectified by the queries."""

import torch
from torch import Tensor

from adapt.fewshot._centroid import means
from adapt.fewshot.method import Transductive, unit_rows
from losses.options import POSITIVE, TRUTH, check


def bd_cspn(*, sharpness: float = 10.0, shift: bool = True, temperature: float = 0.1) -> Transductive:
    r"""Return nearest prototypes by cosine, rectified by the queries: prototype rectification, BD-CSPN.

    .. math:: c'_k = \sum_{x \in S_k \cup Q_k} \frac{\exp(\epsilon \cos(x, c_k))}
        {\sum_{z \in S_k \cup Q_k} \exp(\epsilon \cos(z, c_k))} \, x, \qquad
        \log p_k(q) \propto \cos(q, c'_k) / T

    with the class means :math:`c_k` of the support, and :math:`Q_k` all queries with the nearest mean k by cosine; the
    paper takes the most confident queries of each class.

    Args:
        sharpness: :math:`\epsilon`, 10 as in the paper.
        shift: whether queries are first moved by the difference of the means of support and queries, as in the paper.
            Queries with other shares of the classes than the support have another mean for this reason alone: the
            shift then harms. A single query is not moved, because the shift would put the query on the mean.
        temperature: :math:`T`, 0.1, our choice.

    Raises:
        ValueError: numbers that are not positive.

    easyfsl has :math:`\epsilon = 1`, and classifies the queries without the shift.

    Liu et al., Prototype Rectification for Few-Shot Learning, 2020, https://arxiv.org/abs/1911.10713
    """
    check(POSITIVE, sharpness=sharpness, temperature=temperature)
    check(TRUTH, shift=shift)

    def solve(S: Tensor, Y: Tensor, Q: Tensor) -> Tensor:
        if shift and Q.shape[-2] > 1:
            Q = Q + (S.mean(-2, keepdim=True) - Q.mean(-2, keepdim=True))
        x = torch.cat([S, Q], -2)
        cosine = unit_rows(x) @ unit_rows(means(S, Y)).mT
        near = cosine[..., S.shape[-2] :, :]
        guess = torch.zeros_like(near).scatter_(-1, near.argmax(-1, keepdim=True), 1)
        member = torch.cat([Y, guess], -2)
        weight = (sharpness * cosine).masked_fill(member == 0, -torch.inf).softmax(-2)
        return (unit_rows(Q) @ unit_rows(weight.mT @ x).mT / temperature).log_softmax(-1)

    options = {"sharpness": sharpness, "shift": shift, "temperature": temperature}
    return Transductive("bd_cspn", options, solve)
