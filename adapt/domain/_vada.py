"""Adversarial training under the cluster assumption."""

import torch
from torch import Tensor, nn

import losses
from adapt.domain._dann import dann
from adapt.domain.level import classes_of
from adapt.engine import Step, Term, runtime
from adapt.engine.schedule import Schedule


def vada(
    head: nn.Module,
    dim: int,
    source: str = "source",
    target: str = "target",
    *,
    radius: float = 3.5,
    adversarial: float | Schedule = 1e-2,
    smooth_source: float | Schedule = 1.0,
    smooth_target: float | Schedule = 1e-2,
    hidden: int = 256,
) -> list[Term]:
    """DANN, plus predictions that are sure on the target and do not change nearby on either domain: VADA.

    Args:
        head: the classifier.
        dim: feature size.
        source, target: streams of floating point inputs; no labels are used here.
        radius: of the perturbation of an input, in its units; 3.5 as in the authors' code for images.
        adversarial: weight of the domain term, 1e-2 in the paper; its gradient is reversed at full strength.
        smooth_source: weight of virtual adversarial training on the source; 1 in the paper.
        smooth_target: weight of the entropy and of virtual adversarial training on the target; 1e-2 in the paper.
        hidden: units of the discriminator's two hidden layers.

    Raises:
        TypeError: a head without classes.

    Shu et al., 2018, https://arxiv.org/abs/1802.08735
    """
    classes_of(head, "vada")
    return [
        dann(dim, source, target, strength=1.0, weight=adversarial, hidden=hidden),
        Term(
            "entropy", lambda s: losses.entropy(s.output(head, target)), smooth_target, streams=[target], modules=[head]
        ),
        vat(head, source, radius=radius, weight=smooth_source),
        vat(head, target, radius=radius, weight=smooth_target),
    ]


def vat(head: nn.Module, on: str, *, radius: float, weight: float | Schedule = 1.0) -> Term:
    """Virtual adversarial training of encoder and head on the inputs of a stream.

    Args:
        head: the classifier.
        on: stream of floating point inputs; no labels are used.
        radius: of the perturbation of an input, in its units; it depends on the data.
        weight: of the term.

    Miyato et al., 2018, https://arxiv.org/abs/1704.03976
    """

    def loss(step: Step) -> Tensor:
        model = nn.Sequential(step.encoder, head)
        logits = step.output(head, on).detach()
        if hasattr(step.encoder, "announce_rows"):  # said before every pass
            rows = [(on, len(step[on].index))]
            model.register_forward_pre_hook(lambda *_: step.encoder.announce_rows(rows))  # type: ignore[operator]
        x = step[on].inputs
        n = len(x)
        # each rank its share of the directions of the whole batch
        directions = torch.randn(runtime.world_size() * n, *x.shape[1:], generator=step.generator, dtype=x.dtype)
        own = directions[runtime.rank() * n :][:n].to(x.device)
        return losses.virtual_adversarial(model, x, radius=radius, direction=own, logits=logits)

    return Term(f"vat_{on}", loss, weight, streams=[on], modules=[head])
