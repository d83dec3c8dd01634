"""Alignment by a Wasserstein critic."""

from collections.abc import Sequence

from torch import Tensor, nn

import losses
from adapt.domain.level import Level, both
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import Discriminator


def wdgrl(
    encoder: nn.Module,
    dim: int,
    learn: Sequence[Term],
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = 1.0,
    penalty: float = 10.0,
    repeat: int = 5,
    hidden: int = 256,
    level: Level = "rows",
) -> list[Phase]:
    """A critic learns the Wasserstein-1 distance of the domains; then encoder and heads learn and shrink it: WDGRL.

    Args:
        encoder: the trainer's.
        dim: feature size.
        learn: the other terms, supervised ones at least.
        source, target: streams; no labels are used here.
        weight: of the distance; 1 as in the paper.
        penalty: weight of the gradient penalty; 10 as in the paper.
        repeat: updates of the critic a batch; 5 as in the paper.
        hidden: units of the critic's two hidden layers.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``.

    Shen et al., 2018, https://arxiv.org/abs/1707.01217
    """
    critic = Discriminator(dim, hidden=hidden)

    def distance(step: Step) -> Tensor:
        return losses.wasserstein_critic(*(step.call(critic, rows) for rows in both(step, source, target, level)))

    def lipschitz(step: Step) -> Tensor:
        rows = (losses.gather(rows) for rows in both(step, source, target, level))  # pairs are those of the whole batch
        return losses.gradient_penalty(critic, *rows, generator=step.generator, ends=True)

    streams, modules = [source, target], [critic]
    learned = [module for term in learn for module in term.modules]
    return [
        Phase(
            [
                Term("critic", lambda step: -distance(step), streams=streams, modules=modules),
                Term("gradient_penalty", lipschitz, penalty, streams=streams, modules=modules),
            ],
            update=modules,
            repeat=repeat,
            name="critic",
        ),
        Phase(
            [*learn, Term("wdgrl", distance, weight, streams=streams, modules=modules)],
            update=[encoder, *learned],
            name="encoder",
        ),
    ]
