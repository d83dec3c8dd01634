"""A moving average of the network teaches it."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule


def mean_teacher(
    encoder: nn.Module,
    head: nn.Module,
    target: str = "target",
    *,
    weight: float | Schedule = ramp(3.0),
    decay: float = 0.99,
    threshold: float = 0.968,
) -> Term:
    """Predictions agree with those of an averaged network on another view of the row: mean teacher, self-ensembling.

    Args:
        encoder: the trainer's.
        head: the classifier.
        target: stream; no labels are used. The teacher sees the first view, the network the second where there is one.
        weight: of the term; a rise from 0 to 3, the weight of French et al.
        decay: of the average, a step; 0.99 as in French et al.
        threshold: least probability of the teacher's class; rows below count as zero. 0.968 as in French et al., whose
            training collapsed without it; 0 takes all rows, as in Tarvainen and Valpola.

    The teacher is a copy made here; it is saved with the term, and runs in eval mode on averaged weights and on the
    network's own statistics.

    Raises:
        TypeError: a head without classes.

    Tarvainen and Valpola, 2017, https://arxiv.org/abs/1703.01780; French et al., 2018, https://arxiv.org/abs/1706.05208
    """
    classes_of(head, "mean_teacher")
    loss = MeanTeacher(nn.Sequential(encoder, head), target, decay, threshold)
    return Term("mean_teacher", loss, weight, streams=[target], modules=[head])


class MeanTeacher(nn.Module):
    def __init__(self, network: nn.Module, target: str, decay: float, threshold: float):
        super().__init__()
        self.teacher = deepcopy(network).requires_grad_(False)
        self.network = [network]  # in a list: it is the trainer's, not this term's
        self.target, self.decay, self.threshold, self.updated = target, decay, threshold, -1

    def train(self, mode: bool = True) -> "MeanTeacher":
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, step: Step) -> Tensor:
        if step.number != self.updated:  # once a step, not once for each part of an accumulated batch
            self.follow()
            self.updated = step.number
        view = step[self.target]
        with torch.no_grad():
            taught = step.call(self.teacher, view.inputs)
        head = self.network[0][1]  # type: ignore[index]
        logits = step.call(head, view.second.features) if view.has_second else step.output(head, self.target)
        sure = taught.softmax(1).amax(1) >= self.threshold
        if step.logging:
            step.report("share_above_threshold/mean_teacher", sure.float().mean())
        # an unsure row is its own teacher: zero, with zero gradient, in a mean over all rows of all ranks
        return losses.consistency(logits, torch.where(sure[:, None], taught, logits.detach()))

    @torch.no_grad()
    def follow(self) -> None:
        """One step of the average; statistics are copied."""
        student = self.network[0]
        average = get_ema_multi_avg_fn(self.decay)  # all tensors in one call
        average(list(self.teacher.parameters()), list(student.parameters()), None)
        for copy, original in zip(self.teacher.buffers(), student.buffers(), strict=True):
            copy.copy_(original)
