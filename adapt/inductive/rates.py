"""Different learning rates for general and specific layers."""

from collections.abc import Mapping

from adapt.encoders import Encoder
from adapt.engine import switch
from adapt.engine.schedule import Schedule
from adapt.inductive._doors import expect_encoder
from losses.options import ABOVE_0, BETWEEN, POSITIVE, check


def layer_decay(encoder: Encoder, decay: float = 0.8, *, top: float = 1.0) -> dict[str, float]:
    r"""Return discriminative learning rates for ``Trainer(encoder_scale=...)``: the deeper the layer, the slower.

    .. math:: \text{scale of layer } l = \text{top} \cdot \text{decay}^{L - l}, \qquad l = 1, \dots, L

    Args:
        encoder: with ``layers``, from general to specific.
        decay: 0.8; 0.65 to 0.9 are usual for transformers. ULMFiT divides by 2.6 for each layer, 0.385.
        top: scale of the last layer relative to the head; 1.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: `decay` outside (0, 1] or an encoder without layers.

    Howard and Ruder, Universal Language Model Fine-tuning for Text Classification (ULMFiT), 2018, section 3.2,
    https://arxiv.org/abs/1801.06146
    """
    expect_encoder(encoder)
    check(ABOVE_0, decay=decay)
    check(POSITIVE, top=top)
    layers = list(encoder.parameters_of())
    return {name: top * decay ** (len(layers) - 1 - i) for i, name in enumerate(layers)}


def gradual(
    encoder: Encoder, *, until: float = 0.5, scale: float | Mapping[str, float] = 1.0
) -> dict[str, float | Schedule]:
    """Return learning rates for ``Trainer(encoder_scale=...)`` that unfreeze layer after layer: gradual unfreezing.

    First only the head learns, then the last layer too, and so on. Of L layers the last begins at ``until / L`` of the
    run, the layer before at ``2 until / L``, the first at `until`. A waiting layer has the learning rate zero: exact
    for the optimizers of torch, and a function of the step number alone, so a resumed run is the same run. Gradual
    unfreezing saves no time: gradients are computed, and the averages of the optimizer include the gradients.

    Args:
        encoder: with ``layers``, from general to specific. BatchNorm statistics do not wait after
            ``inductive.strategy(..., batch_norm="follow")``.
        until: share of the run after which everything learns; 0.5.
        scale: of the layers after their start: a number, or a number for each layer, such as :func:`layer_decay`.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: `until` outside (0, 1), an encoder without layers, or scales for other layers.

    Howard and Ruder, Universal Language Model Fine-tuning for Text Classification (ULMFiT), 2018, section 3.3,
    https://arxiv.org/abs/1801.06146
    """
    expect_encoder(encoder)
    check(BETWEEN, until=until)
    layers = list(encoder.parameters_of())
    scales = scale if isinstance(scale, Mapping) else dict.fromkeys(layers, scale)
    if list(scales) != layers:
        raise ValueError(f"`scale` must name the encoder's layers {layers}, got {list(scales)}.")
    for value in scales.values():
        check(POSITIVE, scale=value)
    return {
        name: switch(0.0, scales[name], at=until * (len(layers) - i) / len(layers)) for i, name in enumerate(layers)
    }
