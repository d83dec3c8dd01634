"""Which layers the target asks to change."""

import torch
from torch import nn
from torch.utils.data import Dataset

from adapt.encoders import Encoder
from adapt.engine import Step
from adapt.streams import Stream


def surgical(
    encoder: Encoder,
    head: nn.Module,
    dataset: Dataset,
    *,
    batch_size: int = 32,
    batches: int = 8,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    r"""The relative gradient norm of each layer on labelled target rows, the largest first: Auto-RGN's measure.

    .. math:: \mathrm{RGN}_l = \frac{1}{B} \sum_b \frac{\lVert \nabla_{w_l} \ell_b \rVert}{\lVert w_l \rVert}

    A layer whose gradient is large against its weights is the one that the shift is about: the first layers for other
    images of the same things, the middle for other subgroups, the last for other labels.

    ``rgn = inductive.surgical(encoder, head, few)`` and then either ``inductive.strategy(encoder, list(rgn)[:1])``, or rates in
    proportion: ``Trainer(encoder_scale={name: rgn[name] / max(rgn.values()) for name in encoder.layers})``.

    Args:
        encoder: pretrained. Parameters that do not require a gradient are measured too, and left as they were.
        head: one that already fits the labels: the pretrained one, or a probe. A random head asks every layer for nonsense.
        dataset: labelled rows **to train on**. Never the rows that are tested on.
        batch_size: rows a batch, at most all of them.
        batches: B, in a fixed order. Evaluation mode: no dropout, BatchNorm as pretrained.
        device: where it is computed; the modules must lie there.

    Raises:
        ValueError: rows without labels, an encoder without layers.

    The paper recomputes the measure in each step, for each tensor; here it is measured once, for each layer, before training.

    Lee et al., Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, 2023, section 5,
    https://arxiv.org/abs/2210.11466
    """
    layers = {name: parameters for name, parameters in encoder.parameters_of().items() if parameters}
    stream = Stream(dataset, min(batch_size, len(dataset)))  # type: ignore[arg-type]
    modes = [(m, m.training) for part in (encoder, head) for m in part.modules()]
    required = [(p, p.requires_grad) for p in encoder.parameters()]
    encoder.eval(), head.eval()
    encoder.requires_grad_(True)
    sums = dict.fromkeys(layers, 0.0)
    try:
        reader = stream.batches("surgical", 0, 0)
        for _ in range(batches):
            batch = next(reader).map(lambda x: x.to(device))
            step = Step({"target": batch}, encoder)
            loss = head.loss(step.output(head, "target"), batch.labels)  # type: ignore[operator]
            flat = [p for parameters in layers.values() for p in parameters]
            gradients = dict(zip(flat, torch.autograd.grad(loss, flat, allow_unused=True), strict=True))
            for name, parameters in layers.items():
                steepness = sum(g.square().sum() for p in parameters if (g := gradients[p]) is not None)
                size = sum(p.detach().square().sum() for p in parameters)
                sums[name] += float(steepness**0.5 / size**0.5) / batches
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires in required:
            parameter.requires_grad_(requires)
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
