"""Fast batch nuclear norm maximisation (FBNM)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits


def fast_batch_nuclear_norm(logits: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Negative sum of the largest column norms of the matrix of predictions, per row.

    .. math:: -\frac1n \sum_{c \in \text{top } D} \lVert P_{\cdot c} \rVert_2, \qquad D = \min(n, |C|), \qquad
        P_{i \cdot} = \mathrm{softmax}(z_i)

    Where the columns are close to orthogonal, as they are when rows are confident, the singular values of P are close
    to its column norms: an approximation of :func:`losses.batch_nuclear_norm` without a decomposition.

    Args:
        logits: ``(n, classes)``.
        global_batch: gather the rows of all ranks first: the norms are not sums over rows.

    Returns:
        A scalar in [-1, 0). Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``.

    A class whose column vanishes has zero gradient. The authors' code takes the mean over the D columns, which is n / D
    times this; divided by n it has the scale of :func:`losses.batch_nuclear_norm`.

    Cui et al., Fast Batch Nuclear-norm Maximization and Minimization for Robust Domain Adaptation, 2021,
    https://arxiv.org/abs/2107.06154

    >>> fast_batch_nuclear_norm(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(-1.)
    """
    check_logits("logits", logits)
    z = at_least_float32(logits)
    P = (gather(z) if global_batch else z).softmax(1)
    squared = P.square().sum(0)
    norms = torch.where(squared == 0, 1, squared).sqrt() * (squared != 0)
    return -norms.topk(min(P.shape)).values.sum() / P.shape[0]
