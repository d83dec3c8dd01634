"""Representation subspace distance, for regression."""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, full_precision
from losses.options import AT_LEAST_0, check


def representation_subspace_distance(
    source: Tensor, target: Tensor, *, tradeoff: float = 0.1, global_batch: bool = True
) -> Tensor:
    r"""Sum of the sines of the principal angles between the spans of two clouds, plus a penalty on mismatched bases
    (RSD).

    .. math::
        \lVert \sin \theta \rVert_1 + \beta \bigl\lVert |P_S| - |P_T| \bigr\rVert_F^2, \qquad
        U_S^\top U_T = P_S\, \mathrm{diag}(\cos \theta)\, P_T^\top

    with the columns of :math:`U_S` and :math:`U_T` the right singular vectors of the feature matrices, strongest first:
    the rows' directions, not their lengths. Neither term changes when all features of a domain are multiplied by a
    number.

    Args:
        source: ``(n, d)`` features, n < d.
        target: ``(m, d)`` features, m < d; n and m may differ.
        tradeoff: :math:`\beta`; 0.1 in tllib, 0.01 in the authors' code, both of the norm without its square. 0 leaves
            the second term out.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in. On CUDA the singular values synchronise with the host.

    Raises:
        ValueError: shapes that do not fit; as many rows as features: d rows span everything, and every angle is zero.

    **Degenerate clouds.** Directions whose singular value is rounding do not count: the angles are those of the spans
    that are left, and there are as many as the smaller one has dimensions. The sines come from what the smaller basis
    leaves outside the larger span, not from :math:`\sqrt{1 - \cos^2}`: accurate for small angles, with a bounded
    gradient. An angle of zero, up to rounding, has zero gradient, and so has a direction that does not count.
    Where n and m differ, the missing rows of the smaller P are zeros; a direction at a right angle to the other span
    has no partner, and its column is left out of the second term. Singular vectors turn fast where singular values
    nearly coincide: so does the second term. Its gradient leaves out the rotations between values that coincide up to
    rounding. Spans that share directions (n + m > d) have several cosines of 1 and no definite P: use ``tradeoff=0``
    there. The second derivative of the first term needs angles that differ.

    The authors' code and tllib take the norm of the second term without the square (the term alone is the value at
    ``tradeoff=1`` less that at 0), ask for n = m, and have a gradient that is not finite at equal spans.

    Chen et al., Representation Subspace Distance for Domain Adaptation Regression, 2021,
    https://proceedings.mlr.press/v139/chen21u.html

    >>> x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> representation_subspace_distance(x, y)               # one angle, of sine 4/5; one row: P = 1
    tensor(0.8000)
    """
    check_clouds(source, target)
    check(AT_LEAST_0, tradeoff=tradeoff)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    if x.shape[0] > y.shape[0]:
        x, y = y, x  # symmetric
    if y.shape[0] >= y.shape[1]:
        raise ValueError(
            "`source` and `target` need fewer rows than features, since that many rows span everything, "
            f"got {x.shape[0]} and {y.shape[0]} rows of {y.shape[1]} features; give smaller batches, or "
            "`global_batch=False`."
        )
    with full_precision(x):
        distance = sines(span(x), span(y)).sum()
        if tradeoff == 0:
            return distance
        U, V = singular_vectors(x)[1], singular_vectors(y)[1]
        P, Q = singular_vectors(U.T @ V)
        P = F.pad(P, (0, 0, 0, Q.shape[0] - P.shape[0]))
    return distance + tradeoff * (P.abs() - Q.abs()).square().sum()


def sines(U: Tensor, V: Tensor) -> Tensor:
    """Of the principal angles between the spans of two bases, `U` with at most as many columns; else zeros."""
    outside = U - V @ (V.T @ U)
    sine = torch.linalg.svdvals(outside)  # descending; its gradient divides by no gap
    dimensions_U, dimensions_V = U.detach().square().sum().round(), V.detach().square().sum().round()
    unpaired = (
        torch.arange(sine.shape[0], device=U.device) < dimensions_U - dimensions_V
    )  # U has more: these are 1 for any V
    nothing = sine <= rounding(V)
    return torch.where(unpaired | nothing, torch.zeros_like(sine), sine)


def rounding(A: Tensor) -> float:
    """How small a part of A's largest singular value is rounding."""
    return max(A.shape[-2:]) * torch.finfo(A.dtype).eps


def held(A: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The singular values of `A`, ``(k, l)`` with k <= l, its left vectors P, whether a value counts, and
    :math:`A^\top P`.

    All without gradient but the last, in which P is a constant: its columns are the right vectors times the values.
    """
    P, s, Qt = torch.linalg.svd(A.detach(), full_matrices=False)
    counts = s > rounding(A) * s[:1]
    return P, s, counts, Qt.T * s + (A - A.detach()).T @ P  # the same as A.T @ P, more accurate where s is small


def span(x: Tensor) -> Tensor:
    """``(d, n)`` orthonormal basis of the span of the rows of `x`, zero columns where it has fewer dimensions.

    Which basis does not matter, so the coefficients are held and the result is made orthonormal again: no division by
    gaps.
    """
    _, s, counts, B = held(x)
    B = torch.where(counts, B / torch.where(counts, s, torch.ones_like(s)), torch.zeros_like(B))
    L, _ = torch.linalg.cholesky_ex(B.T @ B + torch.diag_embed((~counts).to(B.dtype)))  # of the identity
    return torch.linalg.solve_triangular(L, B.T, upper=False).T


def singular_vectors(A: Tensor) -> tuple[Tensor, Tensor]:
    r"""Left ``(k, r)`` and right ``(l, r)`` singular vectors, r = min(k, l), strongest first, zero where the value is.

    Right up to the second derivative, by perturbation of the eigenvectors of :math:`A A^\top`; where two values
    coincide the rotation between their vectors is left out instead of divided by zero.
    """
    if A.shape[0] > A.shape[1]:
        Q, P = singular_vectors(A.T)
        return P, Q
    P, s, counts, B = held(A)
    E = B.T @ B
    E = E - E.detach()  # zero in value: how A A^T changes, seen from its eigenvectors
    apart = (s[None, :] - s[:, None]).abs() > 16 * torch.finfo(s.dtype).eps * s[:1]
    gap = (s[None, :] - s[:, None]) * (s[None, :] + s[:, None])
    R = torch.where(apart, 1 / torch.where(apart, gap, torch.ones_like(gap)), torch.zeros_like(gap))
    first = R * E
    second = R * (E @ first - first * E.diagonal()) - torch.diag_embed(first.square().sum(0) / 2)
    turn = torch.eye(s.shape[0], dtype=A.dtype, device=A.device) + first + second
    Q = B @ turn
    lengths = torch.where(counts, Q.square().sum(0), torch.ones_like(s)).sqrt()
    nothing = torch.zeros_like(s)
    return torch.where(counts, P @ turn, nothing), torch.where(counts, Q / lengths, nothing)
