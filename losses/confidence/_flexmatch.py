"""FlexMatch: FixMatch with a threshold for each class."""

import torch
from torch import Tensor, nn

from losses._gather import gather
from losses.checks import at_least_float32, check_logits
from losses.confidence._fixmatch import fixmatch
from losses.confidence.memory import write
from losses.options import COUNT, SHARE, check


class FlexMatch(nn.Module):
    r"""FixMatch whose thresholds are lower for the classes that are learnt less (curriculum pseudo-labelling).

    .. math::
        T_c = \tau\, \frac{\beta_c}{2 - \beta_c}, \qquad
        \beta_c = \frac{\sigma_c}{\max\{\max_{c'} \sigma_{c'},\; N - \sum_{c'} \sigma_{c'}\}}

    with :math:`\sigma_c` the number of the N unlabelled examples whose last confident prediction (:math:`\ge \tau`) was
    class c. The second term of the maximum is the paper's warm-up: while most examples were never confident, all
    thresholds are low.

    Args:
        size: :math:`N`, the number of examples of the unlabelled dataset.
        classes: how many there are.
        threshold: :math:`\tau`, 0.95 as in the paper.

    ``flexmatch(strong_logits, weak_logits)`` is the loss, :func:`losses.fixmatch` with the present thresholds, and
    changes nothing; ``flexmatch.update(index, weak_logits)`` remembers. The authors' code has the loss first, then the
    update.

    The memory is the buffer ``selected``, ``(size,)``: the class or -1. It is in the state_dict, and the same on all
    ranks.

    Zhang et al., FlexMatch: Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling, 2021,
    https://arxiv.org/abs/2110.08263

    >>> flexmatch = FlexMatch(4, 2)
    >>> flexmatch.update(torch.tensor([0, 1, 2, 3]), torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 1.0]]))
    >>> flexmatch.thresholds()
    tensor([0.9500, 0.3167])
    """

    selected: Tensor

    def __init__(self, size: int, classes: int, *, threshold: float = 0.95) -> None:
        super().__init__()
        check(COUNT, size=size, classes=classes)
        check(SHARE, threshold=threshold)
        self.classes, self.threshold = classes, threshold
        self.register_buffer("selected", torch.full((size,), -1))

    def forward(self, strong_logits: Tensor, weak_logits: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """A scalar: a (weighted) mean over all rows, per rank. Logits as in :func:`losses.fixmatch`."""
        return fixmatch(strong_logits, weak_logits, threshold=self.thresholds(), weights=weights)

    def thresholds(self) -> Tensor:
        """``(classes,)``; all zero before the first update."""
        counts = self.selected.new_zeros(self.classes + 1)
        counts = counts.scatter_add(0, self.selected + 1, torch.ones_like(self.selected))
        never, learnt = counts[0], counts[1:]
        beta = learnt / torch.maximum(learnt.max(), never)
        return self.threshold * beta / (2 - beta)

    @torch.no_grad()
    def update(self, index: Tensor, weak_logits: Tensor) -> None:
        """Remember the confident predictions of the examples at `index`, ``(n,)``, of all ranks; other examples stay.

        Where an example comes twice its last confident row counts. An index must lie in [0, size): a negative one
        counts from the end, which is not checked, as it would wait for the device.
        """
        check_logits("weak_logits", weak_logits)
        if index.shape != weak_logits.shape[:1] or weak_logits.shape[1] != self.classes:
            raise ValueError(
                f"`index` must be (n,) and `weak_logits` (n, {self.classes}), "
                f"got {tuple(index.shape)} and {tuple(weak_logits.shape)}."
            )
        confidence, label = gather(at_least_float32(weak_logits)).softmax(1).max(1)
        index = gather(index)
        sure = confidence >= self.threshold
        last = sure.to(torch.uint8).argsort(stable=True)  # the confident rows are written after the others
        write(self.selected, index[last], torch.where(sure, label, self.selected[index])[last])
