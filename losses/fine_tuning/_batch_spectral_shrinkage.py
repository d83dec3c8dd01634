"""Shrinking the smallest singular values of a batch of features (BSS)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, full_precision
from losses.options import COUNT, check


def batch_spectral_shrinkage(features: Tensor, *, count: int = 1, global_batch: bool = True) -> Tensor:
    r"""Sum of the `count` smallest squared singular values of the batch of features.

    .. math:: \sum_{i=1}^{k} \sigma_{-i}^2, \qquad F = U \Sigma V^\top

    The directions in which a batch hardly varies are those that do not transfer; this closes them.

    Args:
        features: ``(n, d)``, the matrix :math:`F`; it is not centred.
        count: :math:`k`, how many singular values out of min(n, d); 1 as in tllib.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float64 inside, rounded to float32 where float32 or less came in.

    Raises:
        ValueError: features that are not ``(n, d)``; a count that is not positive, or above min(n, d).

    The squared singular values are the eigenvalues of the smaller Gram matrix. That matrix squares the ratio of
    largest to smallest, and what is wanted is the smallest: hence float64. Numerically zero singular values may come
    out as a rounding below zero.

    The gradient :math:`2 F V_k V_k^\top` is finite everywhere. It is unique unless the k-th and the next
    singular value are equal: there the directions are those that the decomposition happens to return. Second
    derivatives exist where the singular values differ.

    tllib has the same value by a singular value decomposition. pytorch-adapt's ``BatchSpectralLoss`` is another
    method (batch spectral penalisation): it sums the largest.

    Chen et al., Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe Transfer Learning,
    2019, https://papers.nips.cc/paper/2019/hash/c6bff625bdb0393992c9d4db0c6bbe45-Abstract.html

    >>> batch_spectral_shrinkage(torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
    tensor(4.)
    """
    check_features("features", features)
    x = at_least_float32(features)
    if global_batch:
        x = gather(x)
    check(COUNT, count=count)
    if min(x.shape) < count:
        raise ValueError(
            f"`features` must have at least `count` = {count} rows (of all ranks) and columns, got {tuple(x.shape)}; "
            "there are min(n, d) singular values."
        )
    F = x.double()
    with full_precision(x):
        gram = F @ F.T if F.shape[0] < F.shape[1] else F.T @ F
    return torch.linalg.eigvalsh(gram)[:count].sum().to(x.dtype)  # ascending; on a GPU the host waits for it
