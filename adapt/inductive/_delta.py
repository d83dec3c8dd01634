"""Feature maps stay near those of the start, where the channels matter."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import losses
from adapt.encoders import Encoder
from adapt.encoders._frozen_copy import FrozenCopy
from adapt.engine import Step, Term, predict
from adapt.engine.schedule import Schedule


def delta(
    encoder: Encoder,
    on: str,
    layers: Sequence[str] | None = None,
    *,
    attention: Mapping[str, Tensor] | None = None,
    weight: float | Schedule = 0.5,
) -> Term:
    r"""Penalise what the layers compute otherwise than at the start: DELTA.

    .. math:: \sum_l \frac1n \sum_i \tfrac12 \sum_c a_{lc}\, \frac1P \sum_p \bigl( F_{licp}(w) - F_{licp}(w^0) \bigr)^2

    Args:
        encoder: the trainer's, pretrained: a frozen copy is made here and saved with the term.
        on: stream; its labels are not used.
        layers: names of ``encoder.layers`` that return ``(n, c, ...)``; all of them. The paper takes the last of each stage.
        attention: :math:`a_l` ``(c,)`` for each layer, see :func:`channel_attention`; ones.
        weight: of the term; 0.5: tllib's 0.01 on a sum over 48 rows.

    Costs a second forward pass. Start and encoder see the same rows; the start is in evaluation mode.

    Raises:
        ValueError: a layer that the encoder does not have, channel weights for a layer that is not among `layers`, or that do not
            fit.

    Li et al., 2019, https://arxiv.org/abs/1901.09229
    """
    names = list(encoder.layers if layers is None else layers)
    unknown = [name for name in names if name not in encoder.layers]
    if unknown or not names:
        raise ValueError(f"`layers` must name layers of the encoder ({list(encoder.layers)}), got {unknown or names}.")
    unused = [name for name in attention or () if name not in names]
    if unused:
        raise ValueError(f"`attention` must weigh channels of `layers`, {names}, got {unused}.")
    return Term("delta", Delta(encoder, on, names, attention or {}), weight, streams=[on], layers=names)


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
            losses.delta(view.layer(name), before, channel_weights=getattr(self, f"attention_{number}"))
            for number, (name, before) in enumerate(zip(self.names, start, strict=True))
        ]
        return torch.stack(parts).sum()


def channel_attention(
    encoder: Encoder,
    head: nn.Module,
    dataset: Dataset,
    layers: Sequence[str] | None = None,
    *,
    scale: float = 5.0,
    standardize: bool = True,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    r"""How much each channel matters to the target: the weights of :func:`delta`.

    .. math:: a_{lc} = C_l\, \mathrm{softmax}_c \Bigl( \frac{r_{lc} - \overline{r_l}}{\text{scale} \cdot \mathrm{std}(r_l)} \Bigr),
        \qquad r_{lc} = \ell_{-lc} - \ell

    with :math:`\ell_{-lc}` the loss when channel c of layer l is set to zero; mean and deviation are over the layer's channels, and
    the :math:`C_l` weights of a layer have mean 1.

    Args:
        encoder: pretrained.
        head: fitted to the target on the frozen encoder: a probe.
        dataset: labelled rows to train on.
        layers: names of ``encoder.layers``; all.
        scale: 5 as in the authors' code and tllib.
        standardize: as in the authors' code and tllib. The paper's formula is ``standardize=False, scale=1``: a rise is
            seldom more than a few hundredths, so its weights are all near 1.
        batch_size, device: of the passes.

    Returns:
        ``(c,)`` for each layer. Costs one pass over `dataset` for each channel: a few hundred rows are enough.

    Li et al., 2019, section 3.2, https://arxiv.org/abs/1901.09229
    """

    def loss() -> Tensor:
        outputs, _, labels = predict(encoder, head, dataset, batch_size=batch_size, device=device)
        return head.loss(outputs, labels)  # type: ignore[operator]

    whole, found = loss(), {}
    for name in encoder.layers if layers is None else layers:
        silence = _Silence()
        hook = encoder.layers[name].register_forward_hook(silence)
        try:
            loss()  # tells how many channels there are
            rises = []
            for channel in range(silence.channels):
                silence.channel = channel
                rises.append(loss() - whole)
        finally:
            hook.remove()
        rise = torch.stack(rises)
        if standardize:
            rise = (rise - rise.mean()) / rise.std(correction=0).clamp_min(1e-12)
        found[name] = len(rises) * (rise / scale).softmax(0)
    return found


class _Silence:
    """A forward hook that sets one channel to zero."""

    channel: int | None = None
    channels = 0

    def __call__(self, layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        self.channels = output.shape[1]
        if self.channel is None:
            return output
        return output.index_fill(1, torch.tensor([self.channel], device=output.device), 0)
