"""Feature maps stay near the feature maps of the start, where the channels matter."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import losses
from adapt.encoders import Encoder, FrozenCopy
from adapt.engine import Step, Term, predict
from adapt.engine.schedule import Schedule
from adapt.inductive._doors import expect_encoder, labels_of
from adapt.protocols import MapStyle, expect_head
from losses.options import COUNT, POSITIVE, check


def delta(
    encoder: Encoder,
    *,
    on: str,
    layers: Sequence[str] | None = None,
    attention: Mapping[str, Tensor] | None = None,
    weight: float | Schedule = 0.5,
    name: str = "delta",
) -> Term:
    r"""Penalise the distance of the layers' outputs from the outputs at the start: DELTA.

    .. math:: \sum_l \frac1n \sum_i \tfrac12 \sum_c a_{lc}\, \frac1P \sum_p \bigl( F_{licp}(w) - F_{licp}(w^0) \bigr)^2

    Args:
        encoder: of the trainer, pretrained. The term makes a frozen copy now and saves the copy.
        on: the stream. Labels are not used.
        layers: names of ``encoder.layers`` with outputs ``(n, c, ...)``; default all. The paper takes the last layer of
            each stage.
        attention: :math:`a_l` ``(c,)`` for each layer, see :func:`channel_attention`; default ones.
        weight: of the term; 0.5, which is tllib's 0.01 on a sum over 48 rows.
        name: of the term.

    The term costs a second forward pass. Start and encoder see the same rows; the start is in evaluation mode.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: a layer that the encoder does not have; channel weights for a layer outside of `layers`; channel
            weights of another size than the layer's channels (in the first step).

    Li et al., 2019, https://arxiv.org/abs/1901.09229
    """
    expect_encoder(encoder)
    names = list(encoder.layers if layers is None else layers)
    unknown = [layer for layer in names if layer not in encoder.layers]
    if unknown or not names:
        raise ValueError(f"`layers` must name layers of the encoder ({list(encoder.layers)}), got {unknown or names}.")
    unused = [layer for layer in attention or () if layer not in names]
    if unused:
        raise ValueError(f"`attention` must weigh channels of `layers`, {names}, got {unused}.")
    return Term(name, Delta(encoder, on, names, attention or {}), weight, streams=[on], layers=names)


class Delta(nn.Module):
    def __init__(self, encoder: Encoder, on: str, names: list[str], attention: Mapping[str, Tensor]):
        super().__init__()
        self.start, self.on, self.names = FrozenCopy(encoder), on, names
        for number, name in enumerate(names):
            self.register_buffer(f"attention_{number}", attention.get(name))

    def forward(self, step: Step) -> Tensor:
        view = step[self.on]
        start = step.call(self.start, view.inputs, self.names)
        parts = [
            losses.delta(view.layer(name), before, channel_weights=self.get_buffer(f"attention_{number}"))
            for number, (name, before) in enumerate(zip(self.names, start, strict=True))
        ]
        return torch.stack(parts).sum()


def channel_attention(
    encoder: Encoder,
    head: nn.Module,
    dataset: MapStyle,
    layers: Sequence[str] | None = None,
    *,
    scale: float = 5.0,
    standardize: bool = True,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    r"""Return how much each channel matters to the target: the channel weights of :func:`delta`.

    .. math:: a_{lc} = C_l\, \mathrm{softmax}_c
        \Bigl( \frac{r_{lc} - \overline{r_l}}{\text{scale} \cdot \mathrm{std}(r_l)} \Bigr),
        \qquad r_{lc} = \ell_{-lc} - \ell

    with :math:`\ell_{-lc}` the loss when channel c of layer l is set to zero. Mean and deviation are over the channels
    of the layer, and the :math:`C_l` weights of a layer have mean 1.

    Args:
        encoder: pretrained.
        head: fitted to the target on the frozen encoder: a probe.
        dataset: labelled rows to train on.
        layers: names of ``encoder.layers``; default all.
        scale: 5 as in the authors' code and tllib.
        standardize: as in the authors' code and tllib. The paper's formula is ``standardize=False, scale=1``. A rise is
            seldom more than a few hundredths, so all weights of the paper's formula are near 1.
        batch_size: rows per forward pass.
        device: where the passes run; encoder and head must lie there.

    Returns:
        ``(c,)`` for each layer. Costs one pass over `dataset` for each channel: a few hundred rows are enough.

    Raises:
        TypeError: a module that is no encoder, or a head without a loss.
        ValueError: a layer that the encoder does not have; rows without labels; a `scale` that is not positive.

    Li et al., 2019, section 3.2, https://arxiv.org/abs/1901.09229
    """
    expect_encoder(encoder)
    task = expect_head(head)
    check(POSITIVE, scale=scale)
    check(COUNT, batch_size=batch_size)
    names = list(encoder.layers if layers is None else layers)
    if unknown := [layer for layer in names if layer not in encoder.layers]:
        raise ValueError(f"`layers` must name layers of the encoder ({list(encoder.layers)}), got {unknown}.")

    def loss() -> Tensor:
        found = predict(encoder, head, dataset, batch_size=batch_size, device=device)
        return task.loss(found.outputs, labels_of(found, "`dataset`"))

    whole, weights = loss(), {}
    for name in names:
        channel_to_zero = _ChannelToZero()
        hook = encoder.layers[name].register_forward_hook(channel_to_zero)
        try:
            loss()  # counts the channels
            rises = []
            for channel in range(channel_to_zero.channels):
                channel_to_zero.channel = channel
                rises.append(loss() - whole)
        finally:
            hook.remove()
        rise = torch.stack(rises)
        if standardize:
            rise = (rise - rise.mean()) / rise.std(correction=0).clamp_min(1e-12)
        weights[name] = len(rises) * (rise / scale).softmax(0)
    return weights


class _ChannelToZero:
    """A forward hook that counts the channels of a layer and sets one channel to zero."""

    channel: int | None = None
    channels = 0

    def __call__(self, layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        self.channels = output.shape[1]
        if self.channel is None:
            return output
        return output.index_fill(1, torch.tensor([self.channel], device=output.device), 0)
