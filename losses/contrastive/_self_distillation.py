"""Self-distillation without labels (DINO), and the running centre of its teacher."""

import torch
from torch import Tensor, nn

from losses._gather import gather
from losses.checks import at_least_float32, check_logits, check_same_shape
from losses.options import BELOW_1, COUNT, POSITIVE, check
from losses.reduce import mean


def self_distillation(
    student_logits: Tensor,
    teacher_logits: Tensor,
    centre: Tensor,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of the student's distribution with the teacher's, centred, sharpened and held.

    .. math::
        -\frac1n \sum_i \sum_k q_{ik} \log p_{ik}, \qquad
        p_i = \mathrm{softmax}(s_i / T_s), \qquad q_i = \mathrm{softmax}((t_i - c) / T_t)

    Args:
        student_logits: ``(n, K)`` outputs :math:`s` for one view.
        teacher_logits: ``(n, K)`` outputs :math:`t` for another view; they get no gradient.
        centre: ``(K,)``, :math:`c`, such as :attr:`losses.Centre.value`; it gets no gradient.
        weights: ``(n,)`` one number a row, or a mask; none counts every row once.
        student_temperature: :math:`T_s`, 0.1 as in the paper.
        teacher_temperature: :math:`T_t`, 0.04, where the paper starts; it may rise to 0.07 in the first epochs.

    Returns:
        A scalar, not negative. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: logits that differ in shape, a centre or weights that do not fit, or a temperature that is not
            positive.

    The paper averages this over the pairs of different views. The centre is not updated here: call
    :meth:`losses.Centre.update` with the teacher's logits of all views after the loss.

    Caron et al., Emerging Properties in Self-Supervised Vision Transformers (DINO), 2021, equation 3 and algorithm 1,
    https://arxiv.org/abs/2104.14294; https://github.com/facebookresearch/dino

    >>> self_distillation(torch.zeros(3, 2), torch.randn(3, 2), torch.zeros(2))
    tensor(0.6931)
    """
    check_logits("student_logits", student_logits)
    check_same_shape(student_logits=student_logits, teacher_logits=teacher_logits)
    check(POSITIVE, student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    if centre.shape != student_logits.shape[1:]:
        raise ValueError(f"`centre` must have shape {tuple(student_logits.shape[1:])}, got {tuple(centre.shape)}.")
    s, t, c = at_least_float32(student_logits), at_least_float32(teacher_logits.detach()), centre.detach()
    q = ((t - c) / teacher_temperature).softmax(1)
    return mean(-(q * (s / student_temperature).log_softmax(1)).sum(1), weights)


class Centre(nn.Module):
    r"""Running mean of a teacher's logits over all ranks: :math:`c \leftarrow m\, c + (1 - m)\, \bar t`.

    Args:
        size: K, the number of logits.
        momentum: :math:`m`, 0.9 as in the paper.

    `value` is ``(K,)``, a buffer that starts at zero and is saved in the state_dict. It changes in :meth:`update` only.

    Caron et al. (DINO), 2021, equation 4, https://arxiv.org/abs/2104.14294

    >>> centre = Centre(2)
    >>> centre.update(torch.ones(4, 2))
    >>> centre.value
    tensor([0.1000, 0.1000])
    """

    value: Tensor

    def __init__(self, size: int, *, momentum: float = 0.9) -> None:
        super().__init__()
        check(COUNT, size=size)
        check(BELOW_1, momentum=momentum)
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(size))

    @torch.no_grad()
    def update(self, teacher_logits: Tensor) -> None:
        """Move the centre towards the mean of ``(n, K)`` logits over all ranks' rows; ranks count equally."""
        check_logits("teacher_logits", teacher_logits)
        if teacher_logits.shape[1] != self.value.shape[0]:
            raise ValueError(
                f"`teacher_logits` must have {self.value.shape[0]} classes, got {teacher_logits.shape[1]}."
            )
        batch = gather(at_least_float32(teacher_logits.detach()).mean(0, keepdim=True)).mean(0)
        self.value.lerp_(batch.to(self.value.dtype), 1 - self.momentum)

    def extra_repr(self) -> str:
        return f"{self.value.shape[0]}, momentum={self.momentum}"
