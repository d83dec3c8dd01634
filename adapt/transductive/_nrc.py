"""Labels from the neighbours in a bank, where the neighbourhood goes both ways."""

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import MapStyle
from adapt.transductive.options import check_options
from adapt.transductive.whole_target import WithBank, nearest


def nrc(
    head: nn.Module,
    *,
    encoder: nn.Module,
    dataset: MapStyle,
    target: str = "target",
    name: str = "nrc",
    weight: float | Schedule = 1.0,
    neighbours: int = 5,
    expanded: int = 5,
    rest: float = 0.1,
) -> Term:
    r"""Predict as the neighbours predict, with more weight for mutual neighbours: neighbourhood reciprocity, NRC.

    .. math:: -\frac1n \sum_i \Bigl[ \sum_{k \in N_i} a_{ik}\, S_k^\top p_i
        + r \sum_{k \in N_i} \sum_{m \in E_k} S_m^\top p_i \Bigr] + \sum_c \bar p_c \log \bar p_c, \qquad
        a_{ik} = \begin{cases} 1 & i \in E_k \\ r & \text{else} \end{cases}

    with :math:`N_i` and :math:`E_i` the rows of the bank with the largest cosine to row i, itself left out, and
    :math:`S` the predictions in the bank, without gradient.

    Args:
        head: the classifier of the source model. The head learns, as in the authors' code.
        encoder: of the trainer, with ``(n, d)`` features.
        dataset: all rows of the stream `target`, without augmentation; labels are not read.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1.
        neighbours: size of N; 5, the authors' value for VisDA.
        expanded: size of E; 5, the authors' value for VisDA.
        rest: :math:`r`, 0.1 as in the paper.

    The row itself stays among the neighbours of its neighbours and takes the part of the paper's self-regularisation,
    as in the authors' code. The bank is written before the bank is read, with the rows of all ranks. The mean
    prediction sees the global batch.

    Raises:
        TypeError: a head without classes or without `dim`.
        ValueError: an option with a wrong value; a stream with another number of rows.

    Yang et al., Exploiting the Intrinsic Neighborhood Structure for Source-free Domain Adaptation, 2021,
    https://arxiv.org/abs/2110.04202
    """
    options = {"neighbours": neighbours, "expanded": expanded, "rest": rest}
    check_options(target=target, name=name, weight=weight, **options)
    return Term(name, Nrc(head, encoder, dataset, target, **options), weight, streams=[target])


class Nrc(WithBank):
    def __init__(self, head, encoder, dataset, target, neighbours, expanded, rest):
        super().__init__(head, encoder, dataset, target)
        self.neighbours, self.expanded, self.rest = neighbours, expanded, rest

    def forward(self, step: Step) -> Tensor:
        unit, index = self.write(step)
        near = nearest(unit, index, self.neighbours)  # (n, K)
        further = nearest(unit, near.flatten(), self.expanded).view(*near.shape, -1)  # (n, K, M)
        logits = step.output(self.head, self.target)
        return reciprocal(logits, self.bank.probabilities, index, near, further, rest=self.rest)


def reciprocal(logits: Tensor, S: Tensor, index: Tensor, near: Tensor, further: Tensor, *, rest: float) -> Tensor:
    """Return the loss of :func:`nrc`, from the neighbours ``(n, K)`` and the neighbours of neighbours ``(n, K, M)``."""
    p, S = logits.softmax(1), S.to(logits.dtype)
    mutual = (further == index[:, None, None]).any(2)
    a = torch.where(mutual, 1.0, rest).to(p.dtype)
    close = (a * torch.einsum("nkc,nc->nk", S[near], p)).sum(1)
    wide = rest * torch.einsum("nkmc,nc->n", S[further], p)
    return losses.diversity(logits) - (close + wide).mean()
