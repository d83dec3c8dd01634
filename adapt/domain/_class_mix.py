"""Pixels of half of the classes of a source image, pasted on a target image."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.sources import check_labels
from adapt.domain.teacher import Teacher, answers, drawn, images_of, sure_share
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import MasksMissing, Source, classes_of, expect_head, offers
from losses.reduce import mean


def class_mix(
    head: nn.Module,
    *,
    encoder: nn.Module,
    source: str = "source",
    target: str = "target",
    name: str = "class_mix",
    weight: float | Schedule = 1.0,
    momentum: float = 0.99,
    threshold: float = 0.968,
) -> Term:
    r"""Train on target images with pasted pixels of the source: ClassMix across domains, DACS.

    .. math:: x = M \odot x_s + (1 - M) \odot x_t, \qquad \frac{1}{n |P|} \sum_i \sum_{p \in P} w_{ip}\, (-\log
        f_{y_{ip}}(x_i)_p)

    The mask M holds the pixels of half of the classes of the source image, drawn by chance. Pixels of the source have
    their label and a weight of 1, pixels of the target the class of the teacher, an average of the network, and the
    weight :math:`q_i`, the share of the pixels of the target image with a probability of at least `threshold`. Pixels
    without a label count as zero. One further pass of the network.

    Args:
        head: of pixels.
        encoder: of the trainer.
        source: stream of images with masks of classes.
        target: stream of images of the same size, at least as many in a batch; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.
        momentum: of the teacher, per step; 0.99 as in the paper.
        threshold: of the teacher's probabilities; 0.968 as in the paper.

    The paper takes one q for all images of a batch, and changes colours and blurs the mixture: here an `augment` of the
    streams does. Several ranks: exact, a mean over images.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value; inputs that are no images, or images and masks of other sizes.

    Olsson et al., ClassMix, 2021, https://arxiv.org/abs/2007.07936; Tranheden et al., DACS: Domain Adaptation via
    Cross-domain Mixed Sampling, 2021, https://arxiv.org/abs/2007.08702
    """
    classes_of(head, "class_mix")
    check_options(source=source, target=target, name=name, weight=weight, momentum=momentum, threshold=threshold)
    loss = ClassMix(expect_head(head), encoder, source, target, momentum, threshold, name)
    return Term(name, loss, weight, streams=[], supervises=[source])


class ClassMix(nn.Module):
    def __init__(self, head, encoder, source, target, momentum, threshold, name):
        super().__init__()
        self.head, self.teacher = head, Teacher(encoder, head, momentum)
        self.source, self.target, self.threshold, self.name = source, target, threshold, name

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, [self.source])

    def forward(self, step: Step) -> Tensor:
        images, labels = images_of(step, self.source, "domain.class_mix"), step[self.source].labels.long()
        others = images_of(step, self.target, "domain.class_mix")[: len(images)]
        if others.shape != images.shape or labels.shape != (len(images), *images.shape[2:]):
            raise ValueError(
                f"domain.class_mix needs images and masks of one size, and a target batch that is not smaller, got "
                f"{tuple(images.shape)}, {tuple(labels.shape)} and {tuple(others.shape)}: bring all to one `size`."
            )
        there = self.head.present(labels) if offers(self.head, MasksMissing) else labels >= 0
        taught = self.teacher(step, others)
        quality = sure_share(taught, self.threshold)[:, None, None]
        if step.logging:
            step.report(f"share_above_threshold/{self.name}", quality.mean())
        classes = torch.where(there, labels, 0)
        pasted = chosen(step, classes, there, self.head.classes).flatten(1).gather(1, classes.flatten(1))
        pasted = pasted.view_as(labels) & there
        mixed = torch.where(pasted[:, None], images, others)
        truth = torch.where(pasted, labels, taught.argmax(1))
        logits = answers(step, self.head, self.target, mixed)
        missed = F.cross_entropy(logits, truth, reduction="none")
        return mean((torch.where(pasted, 1, quality) * missed).mean((1, 2)))


def chosen(step: Step, labels: Tensor, there: Tensor, classes: int) -> Tensor:
    """Return ``(n, classes)`` booleans: half of the classes of each mask, rounded up, drawn by chance."""
    n = len(labels)
    found = labels.new_zeros(n, classes).scatter_add(1, labels.flatten(1), there.flatten(1).long()) > 0
    order = torch.where(found, drawn(step, n, classes, device=labels.device), 2.0).argsort(1).argsort(1)
    return found & (order < (found.sum(1, keepdim=True) + 1) // 2)
