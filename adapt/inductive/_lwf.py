"""The old task's answers stay as they were, and answers are learned from a teacher."""

from copy import deepcopy

from torch import Tensor, nn

import losses
from adapt import protocols
from adapt.encoders import Encoder, FrozenCopy
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.inductive._doors import expect_encoder, pretrained_head
from losses.options import POSITIVE, check


def lwf(
    encoder: Encoder,
    *,
    on: str,
    head: nn.Module | None = None,
    temperature: float = 2.0,
    weight: float | Schedule = 0.25,
    name: str = "lwf",
) -> Term:
    r"""Keep the answers of the old head on the new features near the answers at the start: learning without forgetting.

    .. math:: \frac{T^2}{n} \sum_i \mathrm{KL} \bigl( \mathrm{softmax}(t_i / T) \,\|\, \mathrm{softmax}(z_i / T) \bigr)

    Args:
        encoder: of the trainer, pretrained. The term makes a frozen copy of encoder and head now and saves the copy.
        on: the stream. Labels are not used.
        head: the pretrained classifier; default ``encoder.head``. A copy of the head learns in this term.
        temperature: T; 2 as in the paper.
        weight: of the term; 0.25: the paper has 1 on a loss without the factor :math:`T^2`.
        name: of the term.

    With another frozen network as teacher the method is knowledge distillation: :func:`inductive.distillation`.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: no `head` and an encoder without the pretrained head; a `temperature` that is not positive.

    Li and Hoiem, Learning without Forgetting (LwF), 2016, https://arxiv.org/abs/1606.09282
    """
    expect_encoder(encoder)
    check(POSITIVE, temperature=temperature)
    head = pretrained_head(encoder) if head is None else head
    start = FrozenCopy(nn.Sequential(encoder, head))
    loss = Distillation(deepcopy(head).requires_grad_(True), start, on, temperature)
    return Term(name, loss, weight, streams=[on])


def distillation(
    head: nn.Module,
    *,
    teacher: nn.Module,
    on: str,
    temperature: float = 4.0,
    weight: float | Schedule = 1.0,
    name: str = "distillation",
) -> Term:
    """Learn the predictions of a frozen teacher: knowledge distillation.

    Args:
        head: the classifier that is trained, with the teacher's classes.
        teacher: maps inputs to logits. The term makes a frozen copy now and saves the copy.
        on: the stream. Labels are not used.
        temperature: T; 4, the common default.
        weight: of the term.
        name: of the term.

    Raises:
        TypeError: a head without classes.
        ValueError: a `temperature` that is not positive.

    Hinton et al., 2015, https://arxiv.org/abs/1503.02531
    """
    protocols.expect(
        head, protocols.HasClasses, "`head`",
        "take `heads.Classifier(encoder, classes=...)`, or compare features with `inductive.feature_distillation`",
    )  # fmt: skip
    check(POSITIVE, temperature=temperature)
    return Term(name, Distillation(head, FrozenCopy(teacher), on, temperature), weight, streams=[on])


class Distillation(nn.Module):
    def __init__(self, head: nn.Module, teacher: nn.Module, on: str, temperature: float):
        super().__init__()
        self.head, self.teacher, self.on, self.temperature = head, teacher, on, temperature

    def forward(self, step: Step) -> Tensor:
        taught = step.call(self.teacher, step[self.on].inputs)
        return losses.distillation(step.output(self.head, self.on), taught, temperature=self.temperature)
