"""Two classifiers that disagree where the target leaves the source."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule


def mcd(
    encoder: nn.Module,
    first: nn.Module,
    second: nn.Module,
    learn: Sequence[Term],
    target: str = "target",
    *,
    weight: float | Schedule = 1.0,
    repeat: int = 4,
    discrepancy: Callable[[Tensor, Tensor], Tensor] = losses.classifier_discrepancy,
) -> list[Phase]:
    """Maximum classifier discrepancy, three phases a batch: learn; let the heads differ on target; let features undo it.

    Args:
        encoder: the trainer's.
        first, second: two classifiers with different initial weights.
        learn: the supervised terms of both heads.
        target: stream; no labels are used.
        weight: of the discrepancy in both later phases.
        repeat: updates of the encoder a batch; 4 as in the authors' code.
        discrepancy: of the two heads' logits.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``.

    Raises:
        TypeError: a head without classes.

    Saito et al., 2018, https://arxiv.org/abs/1712.02560
    """
    for head in (first, second):
        classes_of(head, "mcd")
    gap = lambda step: discrepancy(step.output(first, target), step.output(second, target))  # noqa: E731
    return classifier_phases(encoder, [first, second], learn, gap, target, weight, repeat)


def classifier_phases(
    encoder: nn.Module,
    heads: list[nn.Module],
    learn: Sequence[Term],
    gap: Callable[[Step], Tensor],
    target: str,
    weight: float | Schedule,
    repeat: int,
) -> list[Phase]:
    together = Term("discrepancy", gap, weight, streams=[target], modules=heads)
    apart = Term("apart", lambda step: -gap(step), weight, streams=[target], modules=heads)
    return [
        Phase(learn, name="learn"),
        Phase([*learn, apart], update=heads, name="apart"),
        Phase([together], update=[encoder], repeat=repeat, name="together"),
    ]
