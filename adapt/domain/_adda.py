"""A second encoder for the target, which the first one's discriminator cannot tell from it."""

from copy import deepcopy

from torch import Tensor, nn

import losses
from adapt.engine import Phase, Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import Discriminator


def adda(
    encoder: nn.Module,
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = 1.0,
    repeat: int = 1,
    hidden: int = 256,
) -> list[Phase]:
    """The target's encoder starts as the source's and moves until a discriminator takes it for that: ADDA.

    Train encoder and head on the source first. The source's encoder is copied here, once, and stays as it is; the
    trainer's `encoder` becomes the target's, and the head does not move.

    Args:
        encoder: trained on the source.
        dim: feature size.
        source, target: streams; no labels are used.
        weight: of the encoder's loss, alone in its phase.
        repeat: updates of the discriminator a batch; 1.
        hidden: units of the discriminator's two hidden layers.

    Returns:
        Phases, for ``Trainer(encoder, phases=...)``. To evaluate a head, hand it to the trainer in a term or use
        :func:`adapt.engine.evaluate.predict`.

    Tzeng et al., 2017, https://arxiv.org/abs/1702.05464
    """
    adversary = Adda(encoder, Discriminator(dim, hidden=hidden), source, target)
    tell = Term("discriminator", adversary, streams=[target])
    hide = Term("adda", adversary.hide, weight, streams=[target], modules=[adversary])
    return [
        Phase([tell], update=[adversary.discriminator], repeat=repeat, name="discriminator"),
        Phase([hide], update=[encoder], name="encoder"),
    ]


class Adda(nn.Module):
    def __init__(self, encoder: nn.Module, discriminator: nn.Module, source: str, target: str):
        super().__init__()
        self.of_source = deepcopy(encoder).requires_grad_(False)
        self.discriminator, self.source, self.target = discriminator, source, target

    def train(self, mode: bool = True) -> "Adda":
        super().train(mode)
        self.of_source.eval()  # it does not move, nor do its statistics
        return self

    def forward(self, step: Step) -> Tensor:
        fixed = step.call(self.of_source, step[self.source].inputs)
        s, t = (step.call(self.discriminator, f) for f in (fixed, step[self.target].features.detach()))
        if step.logging:
            step.report("domain_accuracy/adda", 0.5 * ((s > 0).float().mean() + (t <= 0).float().mean()))
        return losses.domain_adversarial(s, t)

    def hide(self, step: Step) -> Tensor:
        return losses.inverted_domain(step.call(self.discriminator, step[self.target].features))
