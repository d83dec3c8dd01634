"""The layers that the target needs to change."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.encoders import Encoder
from adapt.engine import Step
from adapt.engine.evaluate import check_labelled
from adapt.evaluating import evaluating
from adapt.inductive._doors import expect_encoder, number_of_rows
from adapt.protocols import MapStyle, expect_head
from adapt.streams import Stream
from losses.options import COUNT, check


def surgical(
    encoder: Encoder,
    head: nn.Module,
    dataset: MapStyle,
    *,
    batch_size: int = 32,
    batches: int = 8,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    r"""Return the relative gradient norm of each layer on labelled target rows, the largest first: Auto-RGN's measure.

    .. math:: \mathrm{RGN}_l = \frac{1}{B} \sum_b \frac{\lVert \nabla_{w_l} \ell_b \rVert}{\lVert w_l \rVert}

    A layer with a gradient that is large against its weights is the layer of the shift: a first layer for other images
    of the same things, a middle layer for other subgroups, the last layer for other labels.

    ``rgn = inductive.surgical(encoder, head, few)`` and then either ``inductive.strategy(encoder, list(rgn)[:1])``, or
    rates in proportion:
    ``Trainer(encoder_scale={name: rgn[name] / max(rgn.values()) for name in encoder.layers})``.

    Args:
        encoder: pretrained. Parameters that do not require a gradient are measured too, and left as they were.
        head: a head that already fits the labels: the pretrained head, or a probe. A random head gives every layer
            gradients without meaning.
        dataset: labelled rows **to train on**. Never the rows of a test.
        batch_size: rows per batch, at most all rows.
        batches: B, in a fixed order. Evaluation mode: no dropout, BatchNorm as pretrained.
        device: where the gradients are computed; encoder and head must lie there.

    Raises:
        TypeError: a module that is no encoder, or a head without a loss.
        ValueError: rows without labels, an encoder without layers, `batches` below 1.

    The paper recomputes the measure in each step, for each tensor; this function measures each layer once, before
    training.

    Lee et al., Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, 2023, section 5,
    https://arxiv.org/abs/2210.11466
    """
    expect_encoder(encoder)
    task = expect_head(head)
    check(COUNT, batches=batches, batch_size=batch_size)
    check_labelled("`dataset`", dataset)
    layers = {name: parameters for name, parameters in encoder.parameters_of().items() if parameters}
    stream = Stream(dataset, min(batch_size, number_of_rows(dataset, "`dataset`")))
    required = [(p, p.requires_grad) for p in encoder.parameters()]
    sums = dict.fromkeys(layers, 0.0)
    try:
        encoder.requires_grad_(True)
        with evaluating(encoder, head), torch.enable_grad():
            reader = stream.batches("surgical", 0, 0)
            for _ in range(batches):
                batch = next(reader).map(lambda x: x.to(device))
                step = Step({"target": batch}, encoder)
                loss = task.loss(step.output(head, "target"), batch.labels)
                for name, ratio in _relative_norms(loss, layers).items():
                    sums[name] += ratio / batches
    finally:
        for parameter, requires in required:
            parameter.requires_grad_(requires)
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _relative_norms(loss: Tensor, layers: Mapping[str, Sequence[nn.Parameter]]) -> dict[str, float]:
    """Return the norm of the gradient of each layer, divided by the norm of the layer's weights."""
    flat = [p for parameters in layers.values() for p in parameters]
    gradients = dict(zip(flat, torch.autograd.grad(loss, flat, allow_unused=True), strict=True))
    found = {}
    for name, parameters in layers.items():
        gradient = sum(g.square().sum() for p in parameters if (g := gradients[p]) is not None)
        size = sum(p.detach().square().sum() for p in parameters)
        found[name] = float(gradient**0.5 / size**0.5)  # one host synchronisation per layer and batch
    return found
