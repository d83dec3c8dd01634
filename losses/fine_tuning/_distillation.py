"""Knowledge distillation: predictions like a teacher's."""

from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_same_shape
from losses.options import POSITIVE, check
from losses.reduce import mean


def distillation(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 4.0, weights: Tensor | None = None
) -> Tensor:
    r"""Kullback-Leibler divergence of a student's softened predictions from a teacher's.

    .. math:: \frac{T^2}{n} \sum_i \sum_c q_{ic} \log \frac{q_{ic}}{p_{ic}}, \qquad
        q_i = \mathrm{softmax}(t_i / T), \quad p_i = \mathrm{softmax}(z_i / T)

    The factor :math:`T^2` keeps the size of the gradient when the temperature changes.

    Args:
        student_logits: ``(n, classes)`` or ``(n, classes, ...)``, :math:`z`.
        teacher_logits: the same shape, :math:`t`. They carry no gradient.
        temperature: :math:`T`. 4 is the common default (the code of attention transfer, mdistiller).
        weights: ``(n,)`` or ``(n, ...)``, not negative; booleans are a mask.

    Returns:
        A scalar, not negative, zero where the predictions are equal. Per rank: a mean over rows (and places).
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, or a temperature that is not positive.

    Logits must be finite: leave a masked class out instead of giving it -inf.

    Learning without forgetting (LwF) is this with T = 2, on the old heads, with the answers of the network as it
    started for teacher. Its paper writes the cross-entropy without :math:`T^2`: value and constant differ, the
    gradient is this one's divided by :math:`T^2`. tllib also leaves :math:`T^2` out.

    Hinton et al., Distilling the Knowledge in a Neural Network, 2015, https://arxiv.org/abs/1503.02531;
    Li and Hoiem, Learning without Forgetting, 2016, https://arxiv.org/abs/1606.09282

    >>> import torch
    >>> distillation(torch.zeros(3, 2), torch.tensor([[9.0, 9.0]]).repeat(3, 1))
    tensor(0.)
    """
    check_dense_logits("student_logits", student_logits)
    check_same_shape(student_logits=student_logits, teacher_logits=teacher_logits)
    check(POSITIVE, temperature=temperature)
    log_p = (at_least_float32(student_logits) / temperature).log_softmax(1)
    log_q = (at_least_float32(teacher_logits).detach() / temperature).log_softmax(1)
    return temperature**2 * mean((log_q.exp() * (log_q - log_p)).sum(1), weights)
