"""The old task's answers stay as they were."""

from copy import deepcopy

from torch import Tensor, nn

import losses
from adapt.encoders._frozen_copy import FrozenCopy
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def lwf(
    encoder: nn.Module, head: nn.Module, on: str, *, weight: float | Schedule = 0.25, temperature: float = 2.0
) -> Term:
    r"""The old head on the new features answers as the network did at the start: learning without forgetting, LwF.

    .. math:: \frac{T^2}{n} \sum_i \mathrm{KL} \bigl( \mathrm{softmax}(t_i / T) \,\|\, \mathrm{softmax}(z_i / T) \bigr)

    Args:
        encoder: the trainer's, pretrained. A frozen copy of encoder and head is made here and saved with the term.
        head: the pretrained classifier, say ``encoder.head``; a copy of it learns in this term.
        on: stream; its labels are not used.
        weight: of the term; 0.25, the paper's 1 on a loss without the factor :math:`T^2`.
        temperature: T; 2 as in the paper.

    With another frozen network for teacher this is knowledge distillation: :func:`inductive.distillation`.

    Li and Hoiem, Learning without Forgetting, 2016, https://arxiv.org/abs/1606.09282
    """
    start = FrozenCopy(nn.Sequential(encoder, head))
    loss = Distillation(deepcopy(head).requires_grad_(True), start, on, temperature)
    return Term("lwf", loss, weight, streams=[on])


def distillation(
    teacher: nn.Module, head: nn.Module, on: str, *, weight: float | Schedule = 1.0, temperature: float = 4.0
) -> Term:
    """Predictions like those of a frozen teacher: knowledge distillation.

    Args:
        teacher: from inputs to logits. A frozen copy is made here and saved with the term.
        head: the classifier being trained, of the teacher's classes.
        on: stream; its labels are not used.
        weight: of the term.
        temperature: T; 4, the common default.

    Hinton et al., 2015, https://arxiv.org/abs/1503.02531
    """
    return Term("distillation", Distillation(head, FrozenCopy(teacher), on, temperature), weight, streams=[on])


class Distillation(nn.Module):
    def __init__(self, head: nn.Module, teacher: nn.Module, on: str, temperature: float):
        super().__init__()
        self.head, self.teacher, self.on, self.temperature = head, teacher, on, temperature

    def forward(self, step: Step) -> Tensor:
        taught = step.call(self.teacher, step[self.on].inputs)
        return losses.distillation(step.output(self.head, self.on), taught, temperature=self.temperature)
