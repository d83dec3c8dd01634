"""Two classifiers, compared by the sliced distance of their predictions."""

from collections.abc import Sequence

from torch import nn

import losses
from adapt.domain._mcd import classifier_phases
from adapt.domain.level import classes_of
from adapt.engine import Phase, Term
from adapt.engine.schedule import Schedule


def swd(
    encoder: nn.Module,
    first: nn.Module,
    second: nn.Module,
    learn: Sequence[Term],
    target: str = "target",
    *,
    weight: float | Schedule = 1.0,
    repeat: int = 4,
    directions: int = 128,
) -> list[Phase]:
    """Sliced Wasserstein discrepancy: :func:`adapt.domain.mcd` with another distance between the two heads.

    Args:
        encoder, first, second, learn, target, weight, repeat: as in :func:`adapt.domain.mcd`.
        directions: drawn anew in each step; 128 as in the authors' code.

    Lee et al., 2019, https://arxiv.org/abs/1903.04064
    """
    for head in (first, second):
        classes_of(head, "swd")

    def gap(step):
        logits = step.output(first, target), step.output(second, target)
        return losses.sliced_wasserstein_discrepancy(*logits, directions=directions, generator=step.generator)

    return classifier_phases(encoder, [first, second], learn, gap, target, weight, repeat)
