"""Domain-adversarial training, conditioned on the prediction."""

import torch
from torch import Tensor, nn

import losses
from adapt.domain._dann import report_accuracy
from adapt.domain.options import check_options, feature_size
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.heads import Discriminator
from adapt.protocols import classes_of


def cdan(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "cdan",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = ramp(1.0),
    entropy: bool = False,
    randomized: int | None = None,
    seed: int = 0,
    hidden: int = 256,
) -> Term:
    r"""Train against a discriminator of the outer product of features and class probabilities: CDAN, and CDAN-E.

    .. math::
        \min_D \max_F\; \tfrac12 \bigl( \mathbb{E}_S [-w \log D(f \otimes p)]
        + \mathbb{E}_T [-w \log (1 - D(f \otimes p))] \bigr)

    Args:
        head: the classifier behind p, with the feature size in ``head.dim``. The term sends no gradient to the head, as
            in tllib and the authors' code.
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term, discriminator included.
        strength: of the reversed gradient; Ganin's rise from 0 to 1.
        entropy: CDAN-E, rows weighted by :math:`1 + e^{-H(p)}`, normalised within each domain.
        randomized: dimensions of a random projection of the outer product, by two fixed matrices in the state_dict;
            None for the whole product up to 4,096 dimensions and for 1,024 random dimensions above, the authors' rule.
        seed: of the random matrices.
        hidden: units of the discriminator's two hidden layers.

    Raises:
        TypeError: a head without classes or without `dim`.
        ValueError: an option with a wrong value.

    Long et al., 2018, https://arxiv.org/abs/1705.10667
    """
    classes = classes_of(head, "cdan")
    dim = feature_size(head)
    check_options(source=source, target=target, name=name, weight=weight, strength=strength)
    check_options(entropy=entropy, randomized=randomized, seed=seed, hidden=hidden)
    if randomized is None and dim * classes > 4096:
        randomized = 1024
    if randomized is None:
        condition, size = losses.multilinear_map, dim * classes
    else:
        generator = torch.Generator().manual_seed(int(seed))
        condition, size = losses.RandomMultilinearMap(dim, classes, randomized, generator=generator), randomized
    loss = Cdan(head, condition, Discriminator(size, hidden=hidden), source, target, strength, entropy, name)
    return Term(name, loss, weight, streams=[source, target])


class Cdan(nn.Module):
    def __init__(self, head, condition, discriminator, source, target, strength, entropy, name):
        super().__init__()
        self.head, self.condition, self.discriminator = head, condition, discriminator
        self.source, self.target, self.strength, self.entropy, self.name = source, target, strength, entropy, name

    def forward(self, step: Step) -> Tensor:
        names, n = (self.source, self.target), len(step[self.source].index)
        features = losses.reverse(step.features(*names), at(self.strength, step.progress))
        logits = torch.cat([step.output(self.head, stream) for stream in names]).detach()
        s, t = step.call(self.discriminator, self.condition(features, logits)).tensor_split([n])
        if step.logging:
            report_accuracy(step, self.name, s, t)
        if not self.entropy:
            return losses.domain_adversarial(s, t)
        source_weights, target_weights = losses.entropy_weights(logits).tensor_split([n])
        return losses.domain_adversarial(s, t, source_weights=source_weights, target_weights=target_weights)
