"""Consistency of two predictions of the same rows."""

from typing import Literal

from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_same_shape
from losses.options import POSITIVE, check
from losses.reduce import mean


def consistency(
    logits: Tensor,
    teacher_logits: Tensor,
    *,
    kind: Literal["mse", "kl"] = "mse",
    temperature: float = 1.0,
    hold_teacher: bool = True,
    weights: Tensor | None = None,
) -> Tensor:
    r"""How far a prediction is from a teacher's, as probabilities.

    .. math::
        \text{mse:}\ \frac1n \sum_i \frac1{|C|} \lVert p_i - q_i \rVert^2, \qquad
        \text{kl:}\ \frac1n \sum_i \sum_c q_{ic} \log \frac{q_{ic}}{p_{ic}}, \qquad
        p = \mathrm{softmax}(z / T), \quad q = \mathrm{softmax}(z' / T)

    Args:
        logits: ``(n, classes)`` or ``(n, classes, ...)``, :math:`z`.
        teacher_logits: the same shape, :math:`z'`, of the same rows: another augmentation, an averaged model.
        kind: ``"mse"``, the mean over classes of squared differences, as in both papers; ``"kl"``, the divergence of p
            from q in nats.
        temperature: :math:`T`, 1 as in the papers.
        hold_teacher: keep the teacher out of the gradient. False lets it into both branches, as in the Pi model.
        weights: ``(n, ...)``, one number for each distribution; booleans are a mask.

    Returns:
        A scalar, zero where both agree. Per rank: a (weighted) mean over rows and places. float32 inside, whatever
        comes in.

    Raises:
        ValueError: shapes that differ, an unknown kind, a temperature that is not positive.

    Logits must be finite. Mean Teacher's code divides the squared error by the number of classes, as here. There is no
    factor :math:`T^2`, as distillation has it.

    Related: :func:`losses.virtual_adversarial` chooses the perturbation; :func:`losses.pseudo_label` takes the
    teacher's class.

    Laine and Aila, Temporal Ensembling for Semi-Supervised Learning, 2017, https://arxiv.org/abs/1610.02242;
    Tarvainen and Valpola, Mean teachers are better role models, 2017, https://arxiv.org/abs/1703.01780

    >>> consistency(torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]]))
    tensor(1.)
    """
    check_dense_logits("logits", logits)
    check_same_shape(logits=logits, teacher_logits=teacher_logits)
    check(POSITIVE, temperature=temperature)
    teacher_logits = teacher_logits.detach() if hold_teacher else teacher_logits
    log_p = (at_least_float32(logits) / temperature).log_softmax(1)
    log_q = (at_least_float32(teacher_logits) / temperature).log_softmax(1)
    if kind == "mse":
        return mean((log_p.exp() - log_q.exp()).square().mean(1), weights)
    if kind == "kl":
        return mean((log_q.exp() * (log_q - log_p)).sum(1), weights)
    raise ValueError(f'`kind` must be "mse" or "kl", got {kind!r}.')
