"""Adversarial training under the cluster assumption."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import losses
from adapt.domain._dann import dann
from adapt.domain.level import on_predictions
from adapt.domain.options import check_options, feature_size, times
from adapt.engine import Step, Term, runtime
from adapt.engine.schedule import Schedule
from adapt.protocols import TellsStreamsApart, classes_of, offers


def vada(
    head: nn.Module,
    *,
    source: str = "source",
    target: str = "target",
    name: str = "vada",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = 1.0,
    radius: float = 3.5,
    adversarial: float | Schedule = 1e-2,
    smooth_source: float | Schedule = 1.0,
    smooth_target: float | Schedule = 1e-2,
    hidden: int = 256,
) -> list[Term]:
    """Combine DANN with confident target predictions and with predictions that are smooth around each row: VADA.

    Args:
        head: the classifier, with the feature size in ``head.dim``.
        source, target: streams of floating point inputs; no labels are used.
        name: the first part of the names of all four terms: ``"vada_dann"``, ``"vada_entropy"``, ``"vada_source"`` and
            ``"vada_target"``.
        weight: of all four terms, times the three weights below.
        strength: of the reversed gradient of the domain term; 1.
        radius: of the perturbation of an input, in units of the input; 3.5 as in the authors' code for images.
        adversarial: weight of the domain term; 1e-2 as in the paper.
        smooth_source: weight of virtual adversarial training on the source; 1 as in the paper.
        smooth_target: weight of the entropy and of virtual adversarial training on the target; 1e-2 as in the paper.
        hidden: units of the discriminator's two hidden layers.

    Raises:
        TypeError: a head without classes or without `dim`.
        ValueError: an option with a wrong value.

    Shu et al., 2018, https://arxiv.org/abs/1802.08735
    """
    classes_of(head, "vada")
    check_options(source=source, target=target, name=name, weight=weight, strength=strength, hidden=hidden)
    check_options(radius=radius, adversarial=adversarial, smooth_source=smooth_source, smooth_target=smooth_target)
    domains: dict[str, Any] = {"source": source, "target": target, "strength": strength, "hidden": hidden}
    entropy = partial(on_predictions, loss=losses.entropy, head=head, target=target)
    on_source, on_target = times(weight, smooth_source), times(weight, smooth_target)
    return [
        dann(feature_size(head), name=f"{name}_dann", weight=times(weight, adversarial), **domains),
        Term(f"{name}_entropy", entropy, on_target, streams=[target], modules=[head]),
        vat(head, on=source, name=f"{name}_source", weight=on_source, radius=radius),
        vat(head, on=target, name=f"{name}_target", weight=on_target, radius=radius),
    ]


def vat(
    head: nn.Module, *, radius: float, on: str = "target", name: str = "vat", weight: float | Schedule = 1.0
) -> Term:
    """Train encoder and head to predict the same around each input of a stream: virtual adversarial training, VAT.

    Args:
        head: the classifier.
        radius: of the perturbation of an input, in units of the input; the right value depends on the data.
        on: stream of floating point inputs; no labels are used.
        name: of the term.
        weight: of the term.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.

    Miyato et al., 2018, https://arxiv.org/abs/1704.03976
    """
    classes_of(head, "vat")
    check_options(radius=radius, on=on, name=name, weight=weight)
    return Term(name, partial(smoothness, head=head, on=on, radius=radius), weight, streams=[on], modules=[head])


def smoothness(step: Step, *, head: nn.Module, on: str, radius: float) -> Tensor:
    """Return the divergence of the predictions within `radius`, along the worst direction."""
    encoder = step.encoder_of(on)
    model = nn.Sequential(encoder, head)
    logits = step.output(head, on).detach()
    if offers(encoder, TellsStreamsApart):
        rows = [(on, len(step[on].index))]
        model.register_forward_pre_hook(lambda *_: encoder.announce_rows(rows))  # before every pass
    x = step[on].inputs
    n = len(x)
    # each rank its share of the directions of the whole batch
    directions = torch.randn(runtime.world_size() * n, *x.shape[1:], generator=step.generator, dtype=x.dtype)
    own = directions[runtime.rank() * n :][:n].to(x.device)
    return losses.virtual_adversarial(model, x, radius=radius, direction=own, logits=logits)
