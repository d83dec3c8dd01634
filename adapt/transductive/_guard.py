"""Source model or adapted model: a choice without labels."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losses.options import AT_LEAST_0, COUNT, POSITIVE, check


@dataclass(frozen=True)
class Guard:
    r"""A mixture of the source model and the adapted model, by the confidence of both, without labels.

    .. math:: w\, p_i + (1 - w)\, q_i, \qquad w = \sigma\Bigl( \frac{a + m}{s} \Bigr), \qquad
        a = \overline{\max_k p_{ik}} - \overline{\max_k q_{ik}} + c \max(0, b), \qquad b = H(\bar p) - H(\bar q)

    p are the probabilities of the adapted model and q those of the source model. The means run over a window of rows
    and include the batch. Statistics that mislead, as those of a batch of few classes, make the adapted model less sure
    than the source model. A source model that puts all rows of a new domain into few classes is sure without a reason:
    b tells.

    Args:
        margin: m, 0.03: an adapted model that is as sure as the source model up to the margin is trusted.
        softness: s, 0.02.
        spread: c, 0.05, for each nat.
        window: W, rows of the running mean of the confidences, 128; the part :math:`(1 - 1/W)^n` of the old mean is
            kept. The mean predictions run over four windows.
        collapse: in nats, 0.7. Where b is below minus `collapse`, the predictions of the adapted model fell onto few
            classes: the source model answers, and the method starts again.

    The defaults are our choice, fixed on training images with the four extra corruptions.

    The guard fails where the source model is sure and wrong while the adapted model is right and less sure. A method
    that minimises entropy raises the confidence of the adapted model, right or wrong: then `collapse` alone protects.

    Raises:
        ValueError: options outside of the ranges.

    The confidence as a measure of the accuracy under shift: Guillory et al., Predicting with Confidence on Unseen
    Distributions, 2021, https://arxiv.org/abs/2107.03315
    """

    margin: float = 0.03
    softness: float = 0.02
    spread: float = 0.05
    window: int = 128
    collapse: float = 0.7

    def __post_init__(self) -> None:
        check(AT_LEAST_0, margin=self.margin, spread=self.spread, collapse=self.collapse)
        check(POSITIVE, softness=self.softness)
        check(COUNT, window=self.window)

    def start(self, classes: int) -> "Watch":
        """Return the guard at the start of a stream: a module from two ``(n, classes)`` log-probabilities, of the
        adapted model and of the source model, to those of the mixture.
        """
        return Watch(self, classes)


class Watch(nn.Module):
    """The running means of a guard.

    Attributes:
        weight: w of the last batch.
        collapsed: whether the predictions of the adapted model fell onto few classes.
    """

    gap: Tensor
    means: Tensor
    begun: Tensor
    weight: Tensor

    def __init__(self, guard: Guard, classes: int):
        super().__init__()
        self.guard, self.collapsed = guard, False
        self.register_buffer("gap", torch.zeros((), dtype=torch.float64))
        self.register_buffer("means", torch.zeros(2, classes, dtype=torch.float64))  # adapted, source
        self.register_buffer("begun", torch.zeros(2, dtype=torch.float64))  # the part of the means that rows made
        self.register_buffer("weight", torch.ones((), dtype=torch.float64))

    @property
    def trusts(self) -> bool:
        """Whether the adapted model has more weight than the source model."""
        return bool(self.weight >= 0.5)

    @torch.no_grad()
    def forward(self, adapted: Tensor, source: Tensor) -> Tensor:
        """Return the log-probabilities of the mixture. A host synchronisation."""
        p, q = adapted.double().exp(), source.double().exp()
        near, far = ((1 - 1 / rows) ** len(p) for rows in (self.guard.window, 4 * self.guard.window))
        self.gap.lerp_(p.amax(1).mean() - q.amax(1).mean(), 1 - near)
        self.means.lerp_(torch.stack([p.mean(0), q.mean(0)]), 1 - far)
        self.begun.lerp_(torch.ones_like(self.begun), self.begun.new_tensor([1 - near, 1 - far]))
        means = self.means / self.begun[1]
        H = -(means * means.clamp_min(1e-300).log()).sum(1)
        self.collapsed = bool(H[0] < H[1] - self.guard.collapse)
        a = self.gap / self.begun[0] + self.guard.spread * (H[0] - H[1]).clamp_min(0)
        self.weight.copy_(torch.sigmoid((a + self.guard.margin) / self.guard.softness))
        if self.collapsed:
            self.weight.zero_()
        w = self.weight
        return torch.logaddexp(adapted.double() + w.log(), source.double() + (1 - w).log()).to(adapted)
