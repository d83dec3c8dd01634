"""Boxes found by an averaged network as labels, with regions of unknown content where that network is unsure."""

import torch
from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.teacher import Teacher
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import Boxes


def box_teacher(
    head: nn.Module,
    *,
    encoder: nn.Module,
    target: str = "target",
    name: str = "box_teacher",
    weight: float | Schedule = 1.0,
    momentum: float = 0.999,
    threshold: float = 0.5,
    unsure: float = 0.2,
) -> Term:
    """Train with the boxes that an average of the network finds on the target, where their score is high: self-training
    of a detector.

    A box with a score of at least `threshold` is a label. A box with a score from `unsure` to `threshold` is a region
    of unknown content: nothing is learned there. Everything else is background.

    Args:
        head: :class:`adapt.heads.Boxes`.
        encoder: of the trainer.
        target: stream of images; no labels are used. The teacher sees the first view, the network the second view where
            the stream has a second view: a view with other colours, since the boxes must stay where they are.
        name: of the term.
        weight: of the term; 1.
        momentum: of the teacher, per step; 0.999.
        threshold: of a label; 0.5. Unbiased Teacher takes 0.7 for the scores of another detector.
        unsure: of a region; 0.2.

    The boxes are found on the device and read by the host: each step waits for the device. Several ranks: the loss is
    the mean over the boxes and images of all ranks. Micro-batches count alike.

    Raises:
        TypeError: another head.
        ValueError: an option with a wrong value; `unsure` above `threshold`.

    Liu et al., Unbiased Teacher for Semi-Supervised Object Detection, 2021, https://arxiv.org/abs/2102.09480
    """
    if not isinstance(head, Boxes):
        raise TypeError(f"`head` of box_teacher must be a heads.Boxes, got a {type(head).__name__}.")
    check_options(target=target, name=name, weight=weight, momentum=momentum, threshold=threshold, unsure=unsure)
    if unsure > threshold:
        raise ValueError(f"`unsure` must be at most `threshold`, got {unsure} and {threshold}.")
    loss = BoxTeacher(head, encoder, target, momentum, threshold, unsure, name)
    return Term(name, loss, weight, streams=[target])


class BoxTeacher(nn.Module):
    def __init__(self, head, encoder, target, momentum, threshold, unsure, name):
        super().__init__()
        self.head, self.teacher = head, Teacher(encoder, head, momentum)
        self.target, self.threshold, self.unsure, self.name = target, threshold, unsure, name

    def forward(self, step: Step) -> Tensor:
        view = step[self.target]
        found = self.head.predict(self.teacher(step, view.inputs))
        labels = [self.label(boxes) for boxes in found]
        if step.logging:
            step.report(f"boxes_per_image/{self.name}", sum((y["classes"] >= 0).sum() for y in labels) / len(labels))
        seen = view.others[0].features if view.others else None
        output = step.output(self.head, self.target) if seen is None else step.call(self.head, seen)
        return self.head.loss(output, labels)

    def label(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sure boxes with their classes, and the unsure boxes as regions of unknown content."""
        kept = found["scores"] >= self.unsure
        sure = found["scores"][kept] >= self.threshold
        return {"boxes": found["boxes"][kept], "classes": torch.where(sure, found["classes"][kept], -1)}
