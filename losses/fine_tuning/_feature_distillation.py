"""Features like a teacher's: row by row, and as maps of attention."""

from typing import Literal

from torch import Tensor

from losses.checks import at_least_float32, check_real, check_same_shape
from losses.fine_tuning.norm import unit
from losses.reduce import mean


def feature_distillation(
    student: Tensor, teacher: Tensor, *, kind: Literal["mse", "cosine"] = "mse", weights: Tensor | None = None
) -> Tensor:
    r"""Difference between the features of a student and of a teacher on the same rows.

    .. math:: \text{mse:}\; \frac1n \sum_i \frac1d \lVert s_i - t_i \rVert^2, \qquad
        \text{cosine:}\; \frac1n \sum_i \Bigl( 1 - \frac{s_i \cdot t_i}{\lVert s_i \rVert\, \lVert t_i \rVert} \Bigr)

    Args:
        student: ``(n, d)`` or ``(n, d, ...)`` features; bring them to the teacher's size with a linear layer or a 1 x
            1 convolution that is trained along.
        teacher: the same shape. They carry no gradient.
        kind: ``"mse"`` the mean squared difference; ``"cosine"`` one minus the cosine along dimension 1, which leaves
            the lengths free.
        weights: ``(n,)`` or ``(n, ...)``, not negative; booleans are a mask.

    Returns:
        A scalar. Per rank: a mean over rows (and places). float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, or an unknown kind.

    A zero vector has cosine 0 with everything, and gradient 0. The paper's hint loss is half the squared distance,
    d / 2 times ``"mse"``, for maps times the number of places too.

    Related: :func:`losses.delta` weighs the channels; :func:`losses.relational_distillation` and
    :func:`losses.attention_transfer` need no equal feature size.

    Romero et al., FitNets: Hints for Thin Deep Nets, 2015, https://arxiv.org/abs/1412.6550

    >>> import torch
    >>> feature_distillation(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]), kind="cosine")
    tensor(0.2929)
    """
    check_maps("student", student, places=0)
    check_same_shape(student=student, teacher=teacher)
    s, t = at_least_float32(student), at_least_float32(teacher).detach()
    if kind == "mse":
        return mean((s - t).square().mean(1), weights)
    if kind == "cosine":
        return mean(1 - (unit(s) * unit(t)).sum(1), weights)
    raise ValueError(f'`kind` must be "mse" or "cosine", got {kind!r}.')


def attention_transfer(student: Tensor, teacher: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Squared distance between the maps of where a student and a teacher look.

    .. math::
        \frac1n \sum_i \Bigl\lVert \frac{Q^S_i}{\lVert Q^S_i \rVert} - \frac{Q^T_i}{\lVert Q^T_i \rVert} \Bigr\rVert^2,
        \qquad Q_{ip} = \sum_c A_{icp}^2

    with P places p; the norms are over places.

    Args:
        student: ``(n, c, ...)`` feature maps :math:`A` with at least one dimension of places.
        teacher: ``(n, c', ...)`` with the same places; the number of channels may differ. They carry no gradient.
        weights: ``(n,)``, not negative; booleans are a mask.

    Returns:
        A scalar in [0, 2]. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit.

    A map of zeros has no direction: it stays zero, with gradient 0. Definitions differ: the paper's formula has the
    norm instead of its square; the authors' code takes the mean over places of the squares, this value divided by P.

    Related: :func:`losses.feature_distillation`.

    Zagoruyko and Komodakis, Paying More Attention to Attention, 2017, https://arxiv.org/abs/1612.03928

    >>> import torch
    >>> attention_transfer(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))
    tensor(2.)
    """
    check_maps("student", student, places=1)
    check_maps("teacher", teacher, places=1)
    if student.shape[:1] + student.shape[2:] != teacher.shape[:1] + teacher.shape[2:]:
        raise ValueError(
            "`student` and `teacher` must have the same rows and places, "
            f"got {tuple(student.shape)} and {tuple(teacher.shape)}; resize one of them."
        )
    q_s, q_t = (
        unit(a.square().sum(1).flatten(1)) for a in (at_least_float32(student), at_least_float32(teacher).detach())
    )
    return mean((q_s - q_t).square().sum(1), weights)


def check_maps(name: str, maps: Tensor, *, places: int) -> None:
    """Raise unless `maps` is ``(n, c, ...)`` with at least one row and that many dimensions of places."""
    check_real(name, maps)
    if maps.ndim < 2 + places or maps.numel() == 0:
        shape = "(n, c, ...) feature maps" if places else "(n, c) features or (n, c, ...) feature maps"
        raise ValueError(f"`{name}` must be {shape} with n >= 1, got shape {tuple(maps.shape)}.")
