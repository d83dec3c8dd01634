"""Batch Frobenius norm maximisation."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits


def batch_frobenius_norm(logits: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Negative Frobenius norm of the matrix of predictions, per row.

    .. math:: -\frac1n \lVert P \rVert_F = -\frac1n \sqrt{\sum_{ic} P_{ic}^2},
              \qquad P_{i \cdot} = \mathrm{softmax}(z_i)

    It asks for confidence and not for diversity: between it and min(n, classes)\ :sup:`1/2` times it lies
    :func:`losses.batch_nuclear_norm`.

    Args:
        logits: ``(n, classes)``.
        global_batch: gather the rows of all ranks first: the root is not a sum over rows.

    Returns:
        A scalar in [-n\ :sup:`-1/2`, 0). Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``.

    The authors' code (BFM) divides by the root of min(n, classes) instead of by n.

    Cui et al., Fast Batch Nuclear-norm Maximization and Minimization for Robust Domain Adaptation, 2021,
    https://arxiv.org/abs/2107.06154

    >>> batch_frobenius_norm(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(-0.7071)
    """
    check_logits("logits", logits)
    z = at_least_float32(logits)
    P = (gather(z) if global_batch else z).softmax(1)
    return -P.square().sum().sqrt() / P.shape[0]  # at least the root of n / classes: never a root of zero
