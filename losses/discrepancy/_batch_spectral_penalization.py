"""Batch spectral penalization."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, full_precision
from losses.options import COUNT, check


def batch_spectral_penalization(source: Tensor, target: Tensor, *, count: int = 1, global_batch: bool = True) -> Tensor:
    r"""Sum of the largest squared singular values of each domain's feature matrix (BSP).

    .. math:: \sum_{i=1}^{k} \bigl( \sigma_{S,i}^2 + \sigma_{T,i}^2 \bigr)

    Beside adversarial alignment it keeps a few dominant directions, which transfer well, from hiding the others, which
    discriminate. The squares are eigenvalues of the smaller Gram matrix; the features are not centred.

    Args:
        source: ``(n, d)`` features.
        target: ``(m, d)`` features; n and m may differ.
        count: k, how many for each domain; at most min(n, m, d). 1 as in the paper.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, a sum that grows with the number of rows: with more rows, or more ranks, take a smaller weight.
        Sees the global batch; gradient accumulation does not enlarge that batch. float64 inside for the Gram
        matrix. On CUDA the eigenvalues synchronise with the host (PyTorch's eigh does).

    Raises:
        ValueError: shapes that do not fit; fewer than `count` singular values.

    The gradient is finite for every input; where the k-th and the next singular value coincide it is one of several
    subgradients. The second derivative divides by the gaps between the squares and needs them to differ.

    pytorch-adapt's takes one domain; the two values add up to this one.

    Chen et al., Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain Adaptation,
    2019, https://proceedings.mlr.press/v97/chen19i.html

    >>> x = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    >>> batch_spectral_penalization(x, 2 * x, count=2)       # 9 + 4 and 36 + 16
    tensor(65.)
    """
    check_clouds(source, target)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    check(COUNT, count=count)
    available = min(x.shape[0], y.shape[0], x.shape[1])
    if count > available:
        raise ValueError(
            f"`count` must be at least 1 and at most min(n, m, d) = {available}, got {count}; give larger batches."
        )
    return squared_singular_values(x)[-count:].sum() + squared_singular_values(y)[-count:].sum()


def squared_singular_values(x: Tensor) -> Tensor:
    """Ascending, min(n, d) of them. The gradient of an eigenvalue divides by no gap.

    In float64: LAPACK's float32 eigenvectors of the Gram matrix of features with dead columns, as a ReLU leaves them,
    are NaN in one batch of ten.
    """
    A = x.double()
    with full_precision(x):
        return torch.linalg.eigvalsh(A @ A.T if A.shape[0] < A.shape[1] else A.T @ A).to(x.dtype)
