"""Batch nuclear norm maximisation (BNM)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits, full_precision


def batch_nuclear_norm(logits: Tensor, *, global_batch: bool = True) -> Tensor:
    r"""Negative nuclear norm of the matrix of predictions, per row.

    .. math:: -\frac1n \lVert P \rVert_* = -\frac1n \sum_k \sigma_k(P), \qquad P_{i \cdot} = \mathrm{softmax}(z_i)

    The sign is that of a loss: minimising it makes rows confident (a large Frobenius norm) and classes many (a high
    rank).

    The singular values are the roots of the eigenvalues of the smaller of :math:`P^\top P` and :math:`P P^\top`, and
    the gradient of the norm is :math:`U V^\top = P (P^\top P)^{-1/2}`: no singular value decomposition. That matrix and
    its eigenvalues are float64 whatever comes in, because the square costs half of the digits.

    Args:
        logits: ``(n, classes)``.
        global_batch: gather the rows of all ranks first: the norm is not a sum over rows.

    Returns:
        A scalar in [-1, 0). Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in, but for that small matrix and, on CUDA, the gradient's product with it (which
        could be TF32 otherwise).

    Raises:
        ValueError: logits that are not ``(n, classes)``.

    A singular value :math:`\sigma_k` has a relative error of about :math:`\epsilon\, \sigma_1^2 / \sigma_k^2` with
    :math:`\epsilon = 2.2 \cdot 10^{-16}`. Those below :math:`\sqrt{\max(n, |C|)\, \epsilon}\ \sigma_1` (2e-7 of the
    largest for 128 rows) count as zero with zero gradient, which is the subgradient of least norm: equal rows, fewer
    rows than classes and classes that nobody predicts are safe. A second derivative is possible where the singular
    values are positive and differ (it computes the eigenvectors once more); elsewhere it is not finite.

    Logits must be finite: the decomposition raises otherwise. On CUDA the eigenvalues synchronise with the host
    (PyTorch's ``eigh`` does).

    Scaling: the paper and pytorch-adapt divide by n, as here; the authors' code takes the mean of the singular values,
    which is n / min(n, classes) times this.

    Related: :func:`losses.fast_batch_nuclear_norm` and :func:`losses.batch_frobenius_norm` are cheaper;
    :func:`losses.information_maximization` asks for the same with entropies.

    Cui et al., Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label Insufficient
    Situations, 2020, https://arxiv.org/abs/2003.12237

    >>> batch_nuclear_norm(torch.tensor([[50.0, 0.0], [0.0, 50.0]]))
    tensor(-1.)
    """
    check_logits("logits", logits)
    z = at_least_float32(logits)
    P = (gather(z) if global_batch else z).softmax(1)
    try:
        norm = _NuclearNorm.apply(P)[0]
    except NotImplementedError:  # forward mode: torch.compile would not trace a function with a `jvp`
        norm = norm_and_polar_factor(P)[0]
    return -norm / P.shape[0]


def norm_and_polar_factor(P: Tensor) -> tuple[Tensor, Tensor]:
    r"""Nuclear norm of a matrix and its gradient :math:`U V^\top`; what is below the tolerance is left out of both."""
    n, classes = P.shape
    with full_precision(P):
        A = P.double()
        squared, V = torch.linalg.eigh(A.T @ A if n > classes else A @ A.T)  # ascending
        positive = squared > max(n, classes) * torch.finfo(A.dtype).eps * squared[-1]
        sigma = torch.where(positive, squared, 1).sqrt()
        B = A if P.is_cuda else P  # there a float32 product may be TF32; here float64 would cost 19 % at (2048, 345)
        inverse_root = ((V * (positive / sigma)) @ V.T).to(B.dtype)
        polar_factor = B @ inverse_root if n > classes else inverse_root @ B
    return (sigma * positive).sum().to(P.dtype), polar_factor.to(P.dtype)


class _NuclearNorm(torch.autograd.Function):
    """The derivative of eigenvalues is a product that this leaves out: backward multiplies with what forward has."""

    generate_vmap_rule = True

    @staticmethod
    def forward(P):
        return norm_and_polar_factor(P)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, grad, _):
        P, polar_factor = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants a second derivative: once more, with a graph
            polar_factor = norm_and_polar_factor(P)[1]
        return grad * polar_factor
