"""Labels that flow along a graph of neighbours."""

import torch
from torch import Tensor

from adapt.fewshot.method import Transductive, unit_rows
from losses.options import BETWEEN, COUNT, check


def label_propagation(*, neighbours: int = 5, share: float = 0.8) -> Transductive:
    r"""Return labels that flow from the support to the queries along a graph of nearest neighbours.

    .. math:: F = (I - \alpha D^{-1/2} W D^{-1/2})^{-1} Y, \qquad W_{ij} = \exp(-\lVert x_i - x_j \rVert^2 / \sigma^2)
        \text{ where } j \in N(i) \text{ or } i \in N(j), \qquad p_{ik} = F_{ik} / \sum_j F_{ij}

    with all rows x of unit length, N the nearest neighbours without the row itself, D the sums of the rows of W, and
    :math:`\sigma^2` the mean squared distance of the neighbours.

    Args:
        neighbours: k, 5; at most all other rows.
        share: :math:`\alpha`, 0.8: how far labels flow. The authors take 0.99.

    The labels of a class sum to 1 in Y: a class with more support rows flows no further. A query without a path to a
    support row gets equal probabilities.

    Raises:
        ValueError: no neighbour, a share outside of (0, 1).

    Zhou et al., Learning with Local and Global Consistency, 2004,
    https://papers.nips.cc/paper/2506-learning-with-local-and-global-consistency; Liu et al., Learning to Propagate
    Labels, 2019, https://arxiv.org/abs/1805.10002
    """
    check(COUNT, neighbours=neighbours)
    check(BETWEEN, share=share)

    def solve(S: Tensor, Y: Tensor, Q: Tensor) -> Tensor:
        x = unit_rows(torch.cat([S, Q], -2))
        n = x.shape[-2]
        distance, near = nearest(x, neighbours)
        scale = distance.mean((-2, -1), keepdim=True)
        heat = (-distance / torch.where(scale > 0, scale, 1)).exp()
        W = x.new_zeros(*x.shape[:-1], n).scatter_(-1, near, heat)
        W = torch.maximum(W, W.mT)
        degree = W.sum(-1).clamp_min(torch.finfo(W.dtype).tiny).rsqrt()
        flow = degree.unsqueeze(-1) * W * degree.unsqueeze(-2)
        start = torch.cat([Y / Y.sum(-2, keepdim=True), Y.new_zeros(*Y.shape[:-2], Q.shape[-2], Y.shape[-1])], -2)
        I = torch.eye(n, dtype=x.dtype, device=x.device)  # noqa: E741
        F = (1 - share) * torch.linalg.solve(I - share * flow, start)
        F = F[..., S.shape[-2] :, :].clamp_min(0) + 1e-12
        return (F / F.sum(-1, keepdim=True)).log()

    return Transductive("label_propagation", {"neighbours": neighbours, "share": share}, solve)


def nearest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the squared distances and the places of the k nearest other rows of each row, ``(..., n, k)``.

    With fewer than k other rows, of all other rows.
    """
    n = x.shape[-2]
    square = x.square().sum(-1)
    D = (square.unsqueeze(-1) + square.unsqueeze(-2) - 2 * x @ x.mT).clamp_min(0)
    D = D + torch.diag_embed(D.new_full((n,), torch.inf))
    return D.topk(min(k, n - 1), dim=-1, largest=False)
