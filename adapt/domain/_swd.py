"""Two classifiers, compared by the sliced distance of their predictions."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

import losses
from adapt.domain._mcd import classifier_phases
from adapt.domain.options import check_options
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def swd(
    head: nn.Module,
    *,
    second: nn.Module,
    encoder: nn.Module,
    learn: Sequence[Term],
    target: str = "target",
    name: str = "swd",
    weight: float | Schedule = 1.0,
    repeat: int = 4,
    directions: int = 128,
) -> list[Phase]:
    """Run the phases of :func:`adapt.domain.mcd` with the sliced Wasserstein discrepancy between the two heads: SWD.

    Args:
        head, second, encoder, learn, target, name, weight, repeat: as in :func:`adapt.domain.mcd`.
        directions: number of directions, drawn anew in each step; 128 as in the authors' code.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``. The supervised terms are in `learn`: no ``adapt.supervised``
        beside the phases.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Lee et al., 2019, https://arxiv.org/abs/1903.04064
    """
    heads = [head, second]
    for each in heads:
        classes_of(each, "swd")
    check_options(target=target, name=name, weight=weight, repeat=repeat, directions=directions)
    gap = partial(sliced_gap, heads=heads, target=target, directions=directions)
    return classifier_phases(gap, heads, encoder, learn, target, name, weight, repeat)


def sliced_gap(step: Step, *, heads: Sequence[nn.Module], target: str, directions: int) -> Tensor:
    """Return the sliced discrepancy of two heads on target."""
    first, second = (step.output(head, target) for head in heads)
    return losses.sliced_wasserstein_discrepancy(first, second, directions=directions, generator=step.generator)
