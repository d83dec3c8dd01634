"""The network predicts a hidden part of an image from the rest."""

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.teacher import Teacher, answers, drawn, images_of, sure_share
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of
from losses.reduce import mean


def masked_consistency(
    head: nn.Module,
    *,
    encoder: nn.Module,
    target: str = "target",
    name: str = "masked_consistency",
    weight: float | Schedule = 1.0,
    momentum: float = 0.999,
    threshold: float = 0.968,
    patch: int = 64,
    share: float = 0.7,
) -> Term:
    r"""Predict the teacher's class of every pixel from an image with hidden patches: masked image consistency, MIC.

    .. math:: \frac{1}{n} \sum_i q_i \frac{1}{|P|} \sum_{p \in P} -\log f_{\hat y_{ip}}(M_i \odot x_i)_p

    The teacher, an average of the network, sees the whole image: :math:`\hat y` is its class, :math:`q_i` the share of
    its pixels with a probability of at least `threshold`. The mask :math:`M_i` hides patches. One further pass of the
    network.

    Args:
        head: of pixels, or a classifier of images.
        encoder: of the trainer.
        target: stream of images; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.
        momentum: of the teacher, per step; 0.999 as in the paper.
        threshold: of the teacher's probabilities; 0.968 as in the paper.
        patch: side of a patch in pixels; 64 as in the paper, for crops of 512 pixels: smaller for smaller images.
        share: of the patches that are hidden; 0.7 as in the paper.

    Several ranks: exact, a mean over images; the masks are parts of one draw.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value; inputs that are no images.

    Hoyer et al., MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation, 2023,
    https://arxiv.org/abs/2212.01322
    """
    classes_of(head, "masked_consistency")
    check_options(target=target, name=name, weight=weight, momentum=momentum, threshold=threshold)
    check_options(patch=patch, share=share)
    loss = MaskedConsistency(head, encoder, target, momentum, threshold, patch, share, name)
    return Term(name, loss, weight, streams=[])


class MaskedConsistency(nn.Module):
    def __init__(self, head, encoder, target, momentum, threshold, patch, share, name):
        super().__init__()
        self.head, self.teacher = head, Teacher(encoder, head, momentum)
        self.target, self.threshold, self.patch, self.share, self.name = target, threshold, patch, share, name

    def forward(self, step: Step) -> Tensor:
        images = images_of(step, self.target, "domain.masked_consistency")
        taught = self.teacher(step, images)
        quality = sure_share(taught, self.threshold)
        if step.logging:
            step.report(f"share_above_threshold/{self.name}", quality.mean())
        logits = answers(step, self.head, self.target, images * self.mask(step, images))
        missed = F.cross_entropy(logits, taught.argmax(1), reduction="none")
        return mean(quality * missed.reshape(len(missed), -1).mean(1))

    def mask(self, step: Step, images: Tensor) -> Tensor:
        """Return ``(n, 1, h, w)``: 0 where a patch is hidden, else 1."""
        n, _, h, w = images.shape
        rows, columns = -(-h // self.patch), -(-w // self.patch)
        kept = drawn(step, n, 1, rows, columns, device=images.device) >= self.share
        large = kept.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        return large[:, :, :h, :w].to(images.dtype)
