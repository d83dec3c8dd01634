"""A second encoder for the target, with features that a discriminator takes for source features."""

from torch import Tensor, nn

import losses
from adapt.domain._dann import report_accuracy
from adapt.domain.level import Level, as_rows
from adapt.domain.options import check_options, feature_size
from adapt.encoders import FrozenCopy
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import Discriminator


def adda(
    encoder: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "adda",
    weight: float | Schedule = 1.0,
    level: Level = None,
    repeat: int = 1,
    hidden: int = 256,
) -> list[Phase]:
    """Move the target's encoder from the start, a copy of the source's, until a discriminator is deceived: ADDA.

    Train encoder and head on the source first. The term copies the encoder now, once, as the encoder of the source,
    which stays frozen. The trainer's `encoder` becomes the encoder of the target, and the head does not move.

    Args:
        encoder: of the trainer, trained on the source.
        source, target: streams; no labels are used.
        name: of the encoder's term, and the first part of the names ``"adda_discriminator"`` and ``"adda_encoder"``.
        weight: of the encoder's loss, alone in its phase.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        repeat: updates of the discriminator per batch; 1.
        hidden: units of the discriminator's two hidden layers.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``. To evaluate a head, hand the head to the trainer in a term or use
        :func:`adapt.engine.evaluate.predict`.

    Raises:
        TypeError: an `encoder` without `dim`.
        ValueError: an option with a wrong value.

    Tzeng et al., 2017, https://arxiv.org/abs/1702.05464
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level, repeat=repeat, hidden=hidden)
    discriminator = Discriminator(feature_size(encoder, "`encoder`"), hidden=hidden)
    adversary = Adda(FrozenCopy(encoder), discriminator, source, target, level, name)
    tell = Term(f"{name}_discriminator", adversary, streams=[target])
    hide = Term(name, adversary.hide, weight, streams=[target], modules=[adversary])
    return [
        Phase([tell], update=[discriminator], repeat=repeat, name=f"{name}_discriminator"),
        Phase([hide], update=[encoder], name=f"{name}_encoder"),
    ]


class Adda(nn.Module):
    def __init__(self, of_source, discriminator, source, target, level, name):
        super().__init__()
        self.of_source, self.discriminator = of_source, discriminator
        self.source, self.target, self.level, self.name = source, target, level, name

    def forward(self, step: Step) -> Tensor:
        fixed = step.call(self.of_source, step[self.source].inputs)
        clouds = (as_rows(features, self.level) for features in (fixed, step[self.target].features.detach()))
        s, t = (step.call(self.discriminator, rows) for rows in clouds)
        if step.logging:
            report_accuracy(step, self.name, s, t)
        return losses.domain_adversarial(s, t)

    def hide(self, step: Step) -> Tensor:
        """Return the loss of the encoder: target rows shall look like source rows."""
        rows = as_rows(step[self.target].features, self.level)
        return losses.inverted_domain(step.call(self.discriminator, rows))
