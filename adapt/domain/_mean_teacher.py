"""A moving average of the network as teacher."""

import torch
from torch import Tensor, nn

import losses
from adapt.domain.options import check_options
from adapt.domain.teacher import Teacher
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def mean_teacher(
    head: nn.Module,
    *,
    encoder: nn.Module,
    target: str = "target",
    name: str = "mean_teacher",
    weight: float | Schedule = ramp(3.0),
    momentum: float = 0.99,
    threshold: float = 0.968,
) -> Term:
    """Agree with the predictions of an averaged network on another view of each row: mean teacher, self-ensembling.

    Args:
        head: the classifier.
        encoder: of the trainer.
        target: stream; no labels are used. The teacher sees the first view, the network the second view where the
            stream has a second view.
        name: of the term.
        weight: of the term; a rise from 0 to 3, the weight of French et al.
        momentum: of the average, per step; 0.99 as in French et al.
        threshold: least probability of the teacher's class; rows below count as zero. 0.968 as in French et al., whose
            training collapsed without a threshold; 0 takes all rows, as in Tarvainen and Valpola.

    The term makes the teacher, a copy, now. A checkpoint holds the teacher with the term. The teacher runs in
    evaluation mode on averaged weights and on the network's own statistics.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Tarvainen and Valpola, 2017, https://arxiv.org/abs/1703.01780; French et al., 2018, https://arxiv.org/abs/1706.05208
    """
    classes_of(head, "mean_teacher")
    check_options(target=target, name=name, weight=weight, momentum=momentum, threshold=threshold)
    loss = MeanTeacher(head, encoder, target, momentum, threshold, name)
    return Term(name, loss, weight, streams=[target])


class MeanTeacher(nn.Module):
    def __init__(self, head, encoder, target, momentum, threshold, name):
        super().__init__()
        self.head, self.teacher = head, Teacher(encoder, head, momentum)
        self.target, self.threshold, self.name = target, threshold, name

    def forward(self, step: Step) -> Tensor:
        view = step[self.target]
        taught = self.teacher(step, view.inputs)
        second = view.others[0].features if view.others else None
        logits = step.output(self.head, self.target) if second is None else step.call(self.head, second)
        sure = taught.softmax(1).amax(1) >= self.threshold
        if step.logging:
            step.report(f"share_above_threshold/{self.name}", sure.float().mean())
        # an unsure row is its own teacher: zero, with zero gradient, in a mean over all rows of all ranks
        return losses.consistency(logits, torch.where(sure[:, None], taught, logits.detach()))
