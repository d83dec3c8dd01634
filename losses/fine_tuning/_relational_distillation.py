"""Relations between rows like a teacher's (RKD)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, full_precision
from losses.distances import squared_distances
from losses.fine_tuning.norm import unit


def relational_distillation(
    student: Tensor, teacher: Tensor, *, kind: Literal["distance", "angle"] = "distance", global_batch: bool = True
) -> Tensor:
    r"""Difference between the relations of rows under a student and under a teacher.

    .. math::
        \text{distance:}\; \mathrm{mean}_{i \ne j}\, \ell(\psi^S_{ij}, \psi^T_{ij}), \quad
        \psi_{ij} = \frac{\lVert x_i - x_j \rVert}{\mathrm{mean}_{k \ne l} \lVert x_k - x_l \rVert}

        \text{angle:}\; \mathrm{mean}_{i, j, k\ \text{distinct}}\, \ell(\psi^S_{ijk}, \psi^T_{ijk}), \quad
        \psi_{ijk} = \cos \angle (x_i, x_j, x_k), \text{the corner at } x_j

    with :math:`\ell` the Huber loss of width 1.

    Args:
        student: ``(n, d)`` features.
        teacher: ``(n, d')`` features of the same rows; d' may be another size. They carry no gradient.
        kind: ``"distance"`` all pairs; ``"angle"`` all triples, n n n numbers and n n d differences: for small
            batches.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; fewer than two rows for distances, three for angles; an unknown kind.

    Equal rows have distance 0, and cosine 0 at every corner between them, with gradient 0. The authors'
    code takes the mean over all i, j (and k), equal ones included, so its value is this one times (n - 1) / n, or
    times (n - 1)(n - 2) / n²; and it leaves zero distances out of the mean distance.

    Related: :func:`losses.feature_distillation` compares row by row.

    Park et al., Relational Knowledge Distillation, 2019, https://arxiv.org/abs/1904.05068

    >>> x = torch.tensor([[0.0], [1.0], [3.0]])
    >>> relational_distillation(x, 4 * x)
    tensor(0.)
    """
    check_features("student", student)
    check_features("teacher", teacher)
    if student.shape[0] != teacher.shape[0]:
        raise ValueError(
            f"`student` and `teacher` must hold the same rows, got {student.shape[0]} and {teacher.shape[0]}."
        )
    s, t = at_least_float32(student), at_least_float32(teacher).detach()
    if global_batch:
        s, t = gather(s), gather(t)
    n = s.shape[0]
    if kind not in RELATIONS:
        raise ValueError(f'`kind` must be "distance" or "angle", got {kind!r}.')
    order, relation = RELATIONS[kind]
    if n < order:
        raise ValueError(f"Relations of {kind} need at least {order} rows, got {n}; give larger batches.")
    tuples = n * (n - 1) * (1 if order == 2 else n - 2)  # where two indices are equal both sides have the same number
    return F.smooth_l1_loss(relation(s), relation(t), reduction="sum") / tuples


def distances(x: Tensor) -> Tensor:
    """``(n, n)`` distances divided by their mean over pairs of different rows; zero where all rows are equal."""
    n = x.shape[0]
    D = squared_distances(x)
    apart = D != 0
    D = torch.where(apart, torch.where(apart, D, 1).sqrt(), 0)
    mean = D.sum() / (n * (n - 1))
    return D / torch.where(mean != 0, mean, 1)


def angles(x: Tensor) -> Tensor:
    """``(n, n, n)`` cosines of the angle at row j (first) between rows i and k."""
    e = unit(x[None, :, :] - x[:, None, :], dim=2)
    with full_precision(x):
        cos = e @ e.transpose(1, 2)
    return cos - torch.diag_embed(cos.diagonal(dim1=1, dim2=2))  # i = k is no angle


RELATIONS = {"distance": (2, distances), "angle": (3, angles)}
