"""Labels that flow along a sparse graph of neighbours, for thousands of rows."""

from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.ranking import arrays
from adapt.transductive.whole_target import unit_rows
from losses.options import BETWEEN, COUNT, check


def label_propagation(source: Any, labels: Any, target: Any, *, neighbours: int = 10, share: float = 0.8) -> Tensor:
    r"""Return the probabilities of the classes of target rows: labels flow along a graph of nearest neighbours.

    .. math:: (I - \alpha D^{-1/2} W D^{-1/2})\, F = Y, \qquad W_{ij} = \exp(-\lVert x_i - x_j \rVert^2 / \sigma^2)
        \text{ where } j \in N(i) \text{ or } i \in N(j), \qquad p_{ik} = F_{ik} / \sum_j F_{ij}

    with all rows x of unit length, N the nearest neighbours without the row itself, D the sums of the rows of W,
    :math:`\sigma^2` the mean squared distance of the neighbours, and labels of a class that sum to 1 in Y.

    Args:
        source: ``(n, d)`` features of rows with a label.
        labels: ``(n,)`` numbers of the classes from 0 on; -1 is a missing label, and the row stays in the
            graph.
        target: ``(m, d)`` features of rows without a label.
        neighbours: k, 10; at most all other rows.
        share: :math:`\alpha`, 0.8: how far labels flow; the value of :func:`adapt.fewshot.label_propagation`.

    Returns:
        ``(m, classes)`` float64, on the CPU. A row without a path to a label has equal probabilities.

    The same equation as :func:`adapt.fewshot.label_propagation`, which solves many small episodes at once with dense
    matrices. Here the graph is sparse and conjugate gradients solve the equation: 10,000 rows take seconds.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, no label, an option with a wrong value.

    Zhou et al., Learning with Local and Global Consistency, 2004,
    https://papers.nips.cc/paper/2506-learning-with-local-and-global-consistency; Iscen et al., Label Propagation for
    Deep Semi-supervised Learning, 2019, https://arxiv.org/abs/1904.04717

    >>> label_propagation([[1.0, 0.0], [0.0, 1.0]], [0, 1], [[0.9, 0.1], [0.2, 0.8]], neighbours=1).argmax(1)
    tensor([0, 1])
    """
    check(COUNT, neighbours=neighbours)
    check(BETWEEN, share=share)
    s, t = arrays.features("source", source), arrays.features("target", target)
    arrays.same_columns("source", s, "target", t)
    y = class_numbers(labels, len(s))
    flow = graph(torch.cat([s, t]), neighbours)
    start = numpy.zeros((len(s) + len(t), int(y.max()) + 1))
    start[numpy.flatnonzero(y >= 0), y[y >= 0]] = 1
    start /= start.sum(0).clip(min=1)
    F = solved(flow, start, share)[len(s) :].clip(min=0) + 1e-12
    return torch.from_numpy(F / F.sum(1, keepdims=True))


def class_numbers(labels: Any, rows: int) -> numpy.ndarray:
    """Return ``(rows,)`` whole numbers from -1 on, after a check."""
    y = torch.as_tensor(labels).detach().cpu()
    if y.shape != (rows,) or y.is_floating_point() or y.dtype == torch.bool or y.min() < -1 or y.max() < 0:
        raise ValueError(
            f"`labels` must be ({rows},) whole numbers from 0 on, or -1 for a missing label, with at least one label; "
            f"got shape {tuple(y.shape)} of {y.dtype}."
        )
    return y.long().numpy()


def graph(x: Tensor, neighbours: int) -> Any:
    r"""Return the sparse matrix :math:`D^{-1/2} W D^{-1/2}` of rows of unit length."""
    from scipy import sparse
    from sklearn.neighbors import NearestNeighbors

    unit = unit_rows(x).numpy()
    n = len(unit)
    finder = NearestNeighbors(n_neighbors=min(neighbours, n - 1)).fit(unit)
    distance, near = finder.kneighbors()  # without rows of a query: a row is no neighbour of itself
    square = distance**2
    heat = numpy.exp(-square / (square.mean() or 1))
    W = sparse.csr_matrix((heat.ravel(), near.ravel(), numpy.arange(0, near.size + 1, near.shape[1])), shape=(n, n))
    W = W.maximum(W.T)
    degree = 1 / numpy.sqrt(numpy.asarray(W.sum(1)).ravel().clip(min=numpy.finfo(float).tiny))
    return sparse.diags(degree) @ W @ sparse.diags(degree)


def solved(flow: Any, start: numpy.ndarray, share: float) -> numpy.ndarray:
    r"""Return the solution of :math:`(I - \alpha S) F = (1 - \alpha) Y`, with a relative error of 1e-8."""
    from scipy import sparse
    from scipy.sparse.linalg import cg

    A = sparse.identity(len(start)) - share * flow
    return numpy.stack([cg(A, (1 - share) * column, rtol=1e-8)[0] for column in start.T], 1)
