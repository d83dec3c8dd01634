"""Predictions of an averaged network as labels, with a threshold for each class."""

import torch
from torch import Tensor, nn

import losses
from adapt.domain.options import check_options
from adapt.domain.teacher import Teacher
from adapt.engine import Step, Term
from adapt.engine.once import OncePerStep
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of
from losses import gather

BINS = 100  # of the probabilities


def class_thresholds(
    head: nn.Module,
    *,
    encoder: nn.Module,
    target: str = "target",
    name: str = "class_thresholds",
    weight: float | Schedule = 1.0,
    momentum: float = 0.999,
    threshold: float = 0.9,
    share: float = 0.5,
) -> Term:
    r"""Train with the teacher's predictions as labels, where these are among the most probable of their class.

    .. math:: \frac1n \sum_i \mathbb 1[q_{i \hat y_i} \ge t_{\hat y_i}] (-\log p_{i \hat y_i}), \qquad
        \hat y_i = \operatorname{argmax}_c q_{ic}, \qquad t_c = \min(\tau,\ Q_{1 - s}\{q_{i c} : \hat y_i = c\})

    with q the probabilities of the teacher, an average of the network, and p of the network; rows are pixels where the
    head has places. One threshold for all classes drops the rare classes, whose probabilities are small: the quantile Q
    keeps the share s of each class. Q comes from counts in 100 bins, averaged over the steps before; the first step
    takes :math:`\tau` for all classes.

    Args:
        head: of pixels, or a classifier.
        encoder: of the trainer.
        target: stream; no labels are used. The teacher sees the first view, the network the second view where the
            stream has a second view.
        name: of the term.
        weight: of the term; 1.
        momentum: of the teacher and of the counts, per step; 0.999.
        threshold: :math:`\tau`, no class needs more; 0.9.
        share: s of each class that counts at least; 0.5, where the first round of CBST takes 0.2.

    Several ranks and micro-batches: exact. The counts are of all ranks, and move once for each step of the optimizer,
    at the start of the next step.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Zou et al., Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training, 2018,
    https://arxiv.org/abs/1810.07911; Araslanov and Roth, Self-supervised Augmentation Consistency, 2021,
    https://arxiv.org/abs/2105.00097
    """
    classes = classes_of(head, "class_thresholds")
    check_options(target=target, name=name, weight=weight, momentum=momentum, threshold=threshold, share=share)
    loss = ClassThresholds(head, encoder, classes, target, momentum, threshold, share, name)
    return Term(name, loss, weight, streams=[target])


class ClassThresholds(nn.Module):
    counts: Tensor
    waiting: Tensor  # counts of the last step

    def __init__(self, head, encoder, classes, target, momentum, threshold, share, name):
        super().__init__()
        self.head, self.teacher, self.once = head, Teacher(encoder, head, momentum), OncePerStep()
        self.target, self.threshold, self.share, self.name = target, threshold, share, name
        self.register_buffer("counts", torch.zeros(classes, BINS))
        self.register_buffer("waiting", torch.zeros(classes, BINS))

    def forward(self, step: Step) -> Tensor:
        if self.once.begins(step):
            self.move()
        view = step[self.target]
        taught = self.teacher(step, view.inputs).detach()
        self.wait(taught)
        second = view.others[0].features if view.others else None
        logits = step.output(self.head, self.target) if second is None else step.call(self.head, second)
        thresholds = self.thresholds()
        if step.logging:
            q, label = taught.softmax(1).max(1)
            step.report(f"share_above_threshold/{self.name}", (q >= thresholds[label]).float().mean())
        return losses.pseudo_label(logits, taught, threshold=thresholds)

    @torch.no_grad()
    def move(self) -> None:
        self.counts.mul_(self.teacher.momentum).add_(self.waiting)
        self.waiting.zero_()

    @torch.no_grad()
    def wait(self, taught: Tensor) -> None:
        """Count the probabilities of the predicted classes, of all ranks."""
        q, label = taught.softmax(1).max(1)
        place = label * BINS + (q * BINS).nan_to_num(0).long().clamp(0, BINS - 1)
        ones = torch.ones_like(q, dtype=self.counts.dtype).flatten()
        new = torch.zeros_like(self.counts).view(-1).index_add(0, place.flatten(), ones)
        self.waiting += gather(new[None]).sum(0).view_as(self.waiting)

    def thresholds(self) -> Tensor:
        """Return ``(classes,)`` thresholds from the counts."""
        above = self.counts.flip(1).cumsum(1).flip(1)  # counts of a bin and of the bins behind
        # the last bin with enough above; a class never seen takes the threshold of all
        last = (above >= self.share * above[:, :1]).sum(1) - 1
        return torch.where(above[:, 0] > 0, last / BINS, self.threshold).clamp_max(self.threshold)
