"""Predictions that agree with the neighbours in a bank and differ from the rest of the batch."""

import torch
from torch import Tensor, nn

from adapt.engine import Step, Term, gather
from adapt.engine.schedule import Schedule
from adapt.protocols import MapStyle
from adapt.transductive.options import check_options
from adapt.transductive.whole_target import WithBank, nearest


def aad(
    head: nn.Module,
    *,
    encoder: nn.Module,
    dataset: MapStyle,
    target: str = "target",
    name: str = "aad",
    weight: float | Schedule = 1.0,
    neighbours: int = 5,
    decay: float = 5.0,
) -> Term:
    r"""Attract the predictions of neighbours and disperse the predictions of a batch: AaD.

    .. math:: -\frac1n \sum_i \sum_{k \in N_i} S_k^\top p_i + \lambda\, \frac1n \sum_i \sum_{m \ne i} p_m^\top p_i,
        \qquad \lambda = (1 + 10\, t)^{-\beta}

    with :math:`N_i` the rows of the bank with the largest cosine to row i, itself left out, :math:`S` the predictions
    in the bank, without gradient, m the rows of the batch, and t the progress of the run.

    Args:
        head: the classifier of the source model. The head learns, as in the authors' code.
        encoder: of the trainer, with ``(n, d)`` features.
        dataset: all rows of the stream `target`, without augmentation; labels are not read.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; 1.
        neighbours: size of N; 5, the authors' value for VisDA.
        decay: :math:`\beta`; 5, the authors' value for VisDA. 0 keeps the dispersion to the end, for many classes.

    The second sum grows with the batch: at 64 rows of 10 balanced classes, near 6. The bank is written before the bank
    is read, with the rows of all ranks. Sees the global batch.

    Raises:
        TypeError: a head without classes or without `dim`.
        ValueError: an option with a wrong value; a stream with another number of rows.

    Yang et al., Attracting and Dispersing: A Simple Approach for Source-free Domain Adaptation, 2022,
    https://arxiv.org/abs/2205.04183
    """
    check_options(target=target, name=name, weight=weight, neighbours=neighbours, decay=decay)
    return Term(name, Aad(head, encoder, dataset, target, neighbours, decay), weight, streams=[target])


class Aad(WithBank):
    def __init__(self, head, encoder, dataset, target, neighbours, decay):
        super().__init__(head, encoder, dataset, target)
        self.neighbours, self.decay = neighbours, decay

    def forward(self, step: Step) -> Tensor:
        unit, index = self.write(step)
        near = self.bank.probabilities[nearest(unit, index, self.neighbours)]
        p = step.output(self.head, self.target).softmax(1)
        return attracted(p, near) + (1 + 10 * step.progress) ** -self.decay * dispersed(p)


def attracted(p: Tensor, near: Tensor) -> Tensor:
    """Return the first part of the loss of :func:`aad`: ``(n, classes)`` and ``(n, K, classes)`` predictions."""
    return -torch.einsum("nkc,nc->n", near.to(p.dtype), p).mean()


def dispersed(p: Tensor) -> Tensor:
    r"""Return the second part of the loss of :func:`aad`, as
    :math:`\frac1n (\lVert \sum_i p_i \rVert^2 - \sum_i \lVert p_i \rVert^2)`."""
    p = gather(p)
    return (p.sum(0).square().sum() - p.square().sum()) / len(p)
