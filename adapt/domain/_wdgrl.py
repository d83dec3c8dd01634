"""Alignment by a Wasserstein critic."""

from collections.abc import Sequence

from torch import Tensor, nn

import losses
from adapt.domain.level import Level, both
from adapt.domain.options import check_options, feature_size
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import Discriminator


def wdgrl(
    encoder: nn.Module,
    *,
    learn: Sequence[Term],
    source: str = "source",
    target: str = "target",
    name: str = "wdgrl",
    weight: float | Schedule = 1.0,
    level: Level = None,
    penalty: float | Schedule = 10.0,
    repeat: int = 5,
    hidden: int = 256,
) -> list[Phase]:
    """Learn the Wasserstein-1 distance of the domains by a critic, then shrink the distance by the encoder: WDGRL.

    The supervised terms are in `learn`: no ``adapt.supervised`` beside the phases.

    Args:
        encoder: of the trainer.
        learn: the other terms, supervised terms at least.
        source, target: streams; no labels are used.
        name: of the encoder's term, and the first part of the names ``"wdgrl_critic"``, ``"wdgrl_gradient_penalty"``
            and ``"wdgrl_encoder"``.
        weight: of the distance; 1 as in the paper.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        penalty: weight of the gradient penalty; 10 as in the paper.
        repeat: updates of the critic per batch; 5 as in the paper.
        hidden: units of the critic's two hidden layers.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``.

    Raises:
        TypeError: an `encoder` without `dim`.
        ValueError: an option with a wrong value.

    Shen et al., 2018, https://arxiv.org/abs/1707.01217
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level)
    check_options(penalty=penalty, repeat=repeat, hidden=hidden)
    critic = Wdgrl(Discriminator(feature_size(encoder, "`encoder`"), hidden=hidden), source, target, level)
    streams, modules = [source, target], [critic]
    learned = [module for term in learn for module in term.modules]
    return [
        Phase(
            [
                Term(f"{name}_critic", critic.negative, streams=streams, modules=modules),
                Term(f"{name}_gradient_penalty", critic.lipschitz, penalty, streams=streams, modules=modules),
            ],
            update=modules,
            repeat=repeat,
            name=f"{name}_critic",
        ),
        Phase(
            [*learn, Term(name, critic, weight, streams=streams)], update=[encoder, *learned], name=f"{name}_encoder"
        ),
    ]


class Wdgrl(nn.Module):
    def __init__(self, critic, source, target, level):
        super().__init__()
        self.critic, self.source, self.target, self.level = critic, source, target, level

    def forward(self, step: Step) -> Tensor:
        """Return the distance that the critic sees."""
        rows = both(step, self.source, self.target, self.level)
        return losses.wasserstein_critic(*(step.call(self.critic, part) for part in rows))

    def negative(self, step: Step) -> Tensor:
        """Return minus the distance, the loss of the critic."""
        return -self(step)

    def lipschitz(self, step: Step) -> Tensor:
        """Return the penalty on the slope of the critic."""
        # pairs are drawn from the whole batch
        rows = (losses.gather(part) for part in both(step, self.source, self.target, self.level))
        return losses.gradient_penalty(self.critic, *rows, generator=step.generator, ends=True)
