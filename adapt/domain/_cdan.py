"""Domain-adversarial training, conditioned on the prediction."""

import torch
from torch import Tensor, nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator


def cdan(
    head: nn.Module,
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    entropy: bool = False,
    strength: float | Schedule = ramp(1.0),
    weight: float | Schedule = 1.0,
    randomized: int | None = None,
    hidden: int = 256,
    seed: int = 0,
) -> Term:
    r"""A discriminator that sees the outer product of features and class probabilities: CDAN, and CDAN-E.

    .. math:: \min_D \max_F\; \tfrac12 \bigl( \mathbb{E}_S [-w \log D(f \otimes p)] + \mathbb{E}_T [-w \log (1 - D(f \otimes p))] \bigr)

    Args:
        head: the classifier that gives p; no gradient reaches it from here, as in tllib and the authors' code.
        dim: feature size.
        source, target: streams; no labels are used.
        entropy: CDAN-E, rows weighted by :math:`1 + e^{-H(p)}`, normalised within each domain.
        strength: of the reversed gradient; Ganin's rise from 0 to 1.
        weight: of the term, discriminator included.
        randomized: the outer product in so many dimensions by two fixed random matrices, which are saved; None for the
            whole product up to 4,096 dimensions and for 1,024 random ones above, the authors' rule.
        hidden: units of the discriminator's two hidden layers.
        seed: of the random matrices.

    Raises:
        TypeError: a head without classes.

    Long et al., 2018, https://arxiv.org/abs/1705.10667
    """
    classes = classes_of(head, "cdan")
    if randomized is None and dim * classes > 4096:
        randomized = 1024
    if randomized is None:
        condition, size = losses.multilinear_map, dim * classes
    else:
        generator = torch.Generator().manual_seed(seed)
        condition, size = losses.RandomMultilinearMap(dim, classes, randomized, generator=generator), randomized
    loss = Cdan(head, condition, Discriminator(size, hidden=hidden), source, target, strength, entropy)
    return Term("cdan", loss, weight, streams=[source, target])


class Cdan(nn.Module):
    def __init__(self, head, condition, discriminator, source, target, strength, entropy):
        super().__init__()
        self.head, self.condition, self.discriminator = head, condition, discriminator
        self.source, self.target, self.strength, self.entropy = source, target, strength, entropy

    def forward(self, step: Step) -> Tensor:
        names, n = (self.source, self.target), len(step[self.source].index)
        features = losses.reverse(step.features(*names), at(self.strength, step.progress))
        logits = torch.cat([step.output(self.head, name) for name in names]).detach()
        s, t = step.call(self.discriminator, self.condition(features, logits)).tensor_split([n])
        if step.logging:
            step.report("domain_accuracy/cdan", 0.5 * ((s > 0).float().mean() + (t <= 0).float().mean()))
        if not self.entropy:
            return losses.domain_adversarial(s, t)
        source_weights, target_weights = losses.entropy_weights(logits).tensor_split([n])
        return losses.domain_adversarial(s, t, source_weights=source_weights, target_weights=target_weights)
