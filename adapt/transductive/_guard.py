"""Source model or adapted model: a choice without labels."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from losses.options import AT_LEAST_0, COUNT, POSITIVE, check


@dataclass(frozen=True)
class Guard:
    r"""A mixture of the source model and the adapted model, by the confidence of both, without labels.

    .. math:: w\, p_i + (1 - w)\, q_i, \qquad w = \sigma\Bigl( \frac{a + m}{s} \Bigr), \qquad
        a = \overline{\max_k p_{ik}} - \overline{\max_k q_{ik}} + c \max(0, b - \tfrac12) - d\, r, \qquad
        b = H(\bar p) - H(\bar q)

    p are the probabilities of the adapted model and q those of the source model. The means run over a window of rows
    and include the batch. Statistics that mislead, as those of a batch of few classes, make the adapted model less sure
    than the source model. A source model that puts all rows of a new domain into few classes is sure without a reason:
    b tells. Rows that come class by class are told by r: the share of neighbouring rows with the same answer of the
    source model, minus the share of rows at a distance of W / 2 and minus two standard errors, at least 0, among the
    last 2 W rows (or the batch, where the batch is larger). Where the source model fails, r is small, and the adapted
    model answers.

    Args:
        margin: m, 0.04: an adapted model that is as sure as the source model up to the margin is trusted.
        softness: s, 0.02.
        spread: c, 0.06, for each nat.
        order: d, 0.2.
        window: W, rows of the running mean of the confidences, 64; the part :math:`(1 - 1/W)^n` of the old mean is
            kept. The mean predictions run over four windows.
        collapse: in nats, 0.7. Where b is below minus `collapse`, the predictions of the adapted model fell onto few
            classes: the source model answers, and the method starts again.

    The defaults are our choice, fixed on training images with corruptions (`benchmarks/test_time.md`).

    The guard fails where the source model is sure and wrong while the adapted model is right and less sure. A method
    that minimises entropy raises the confidence of the adapted model, right or wrong: then `collapse` alone protects.

    Raises:
        ValueError: options outside of the ranges.

    The confidence as a measure of the accuracy under shift: Guillory et al., Predicting with Confidence on Unseen
    Distributions, 2021, https://arxiv.org/abs/2107.03315
    """

    margin: float = 0.04
    softness: float = 0.02
    spread: float = 0.06
    order: float = 0.2
    window: int = 64
    collapse: float = 0.7

    def __post_init__(self) -> None:
        check(AT_LEAST_0, margin=self.margin, spread=self.spread, order=self.order, collapse=self.collapse)
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
        self.recent: list[int] = []  # the last answers of the source model

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
        self.recent = (self.recent + q.argmax(1).tolist())[-max(2 * self.guard.window, len(q)) :]
        a = self.gap / self.begun[0] + self.guard.spread * (H[0] - H[1] - 0.5).clamp_min(0)
        a = a - self.guard.order * together(self.recent, self.guard.window // 2)
        self.weight.copy_(torch.sigmoid((a + self.guard.margin) / self.guard.softness))
        if self.collapsed:
            self.weight.zero_()
        w = self.weight
        return torch.logaddexp(adapted.double() + w.log(), source.double() + (1 - w).log()).to(adapted)

    def get_extra_state(self) -> list[int]:
        return self.recent

    def set_extra_state(self, state: list[int]) -> None:
        self.recent = list(state)


def together(answers: list[int], far: int) -> float:
    """Return how much more often neighbours have the same answer than rows at a distance, minus two standard errors.

    The rows are compared with all other rows where they are fewer than two distances.
    """
    n = len(answers)
    if n < 2:
        return 0.0
    if n <= 2 * far or far == 0:
        apart = sum(count * (count - 1) for count in Counter(answers).values()) / (n * (n - 1))
    else:
        apart = sum(a == b for a, b in zip(answers, answers[far:], strict=False)) / (n - far)
    neighbours = sum(a == b for a, b in pairwise(answers)) / (n - 1)
    return max(0.0, neighbours - apart - 2 * (apart * (1 - apart) / n) ** 0.5)
