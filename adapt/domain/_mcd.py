"""Two classifiers that disagree where the target leaves the source."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

import losses
from adapt.domain.options import check_options
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of

Gap = Callable[[Step], Tensor]


def mcd(
    head: nn.Module,
    *,
    second: nn.Module,
    encoder: nn.Module,
    learn: Sequence[Term],
    target: str = "target",
    name: str = "mcd",
    weight: float | Schedule = 1.0,
    repeat: int = 4,
    discrepancy: Callable[[Tensor, Tensor], Tensor] = losses.classifier_discrepancy,
) -> list[Phase]:
    """Maximise the discrepancy of two classifiers on target, and minimise the same discrepancy by the features: MCD.

    Three phases per batch: all modules learn; the heads move apart on target; the encoder brings the heads together.
    The supervised terms are in `learn`: no ``adapt.supervised`` beside the phases.

    Args:
        head, second: two classifiers with different initial weights.
        encoder: of the trainer.
        learn: the supervised terms of both heads.
        target: stream; no labels are used.
        name: of the encoder's term, and the first part of the names ``"mcd_apart"``, ``"mcd_learn"`` and
            ``"mcd_together"``.
        weight: of the discrepancy in both later phases.
        repeat: updates of the encoder per batch; 4 as in the authors' code.
        discrepancy: of the logits of both heads.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Saito et al., 2018, https://arxiv.org/abs/1712.02560
    """
    heads = [head, second]
    for each in heads:
        classes_of(each, "mcd")
    check_options(target=target, name=name, weight=weight, repeat=repeat, discrepancy=discrepancy)
    gap = partial(gap_of, heads=heads, target=target, discrepancy=discrepancy)
    return classifier_phases(gap, heads, encoder, learn, target, name, weight, repeat)


def gap_of(
    step: Step, *, heads: Sequence[nn.Module], target: str, discrepancy: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return the discrepancy of two heads on target."""
    first, second = (step.output(head, target) for head in heads)
    return discrepancy(first, second)


def negative(step: Step, *, loss: Gap) -> Tensor:
    """Return minus the loss: a term that maximises."""
    return -loss(step)


def classifier_phases(
    gap: Gap,
    heads: list[nn.Module],
    encoder: nn.Module,
    learn: Sequence[Term],
    target: str,
    name: str,
    weight: float | Schedule,
    repeat: int,
) -> list[Phase]:
    """Return the three phases: learn, move the heads apart, bring the heads together."""
    together = Term(name, gap, weight, streams=[target], modules=heads)
    apart = Term(f"{name}_apart", partial(negative, loss=gap), weight, streams=[target], modules=heads)
    return [
        Phase(learn, name=f"{name}_learn"),
        Phase([*learn, apart], update=heads, name=f"{name}_apart"),
        Phase([together], update=[encoder], repeat=repeat, name=f"{name}_together"),
    ]
