"""The network before fine-tuning."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from adapt.encoders._layer_outputs import layer_outputs
from adapt.protocols import Encoder, expect
from losses.options import SHARE, check


class FrozenCopy(nn.Module):
    """A frozen copy of a network, made at construction: in evaluation mode, without gradient.

    The copy is saved with its term. A resumed run compares with the same start.

    Args:
        network: the network to copy; any module.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "FrozenCopy":
        return super().train(False)

    @torch.no_grad()
    def follow(self, network: nn.Module, momentum: float) -> None:
        """Take one step of an exponential moving average towards the weights of `network`; buffers are copied.

        Args:
            network: with the parameters of the copy.
            momentum: share of the copy that stays, in [0, 1].

        Raises:
            ValueError: `momentum` out of range.
        """
        check(SHARE, momentum=momentum)
        average = get_ema_multi_avg_fn(momentum)  # all tensors in one call
        average(list(self.network.parameters()), list(network.parameters()), None)
        for copy, original in zip(self.network.buffers(), network.buffers(), strict=True):
            copy.copy_(original)

    @torch.no_grad()
    def forward(self, inputs: Any, layers: Sequence[str] = ()) -> Any:
        """Return the output of the network, or a list with the outputs of the named layers of a copied encoder.

        Raises:
            TypeError: `layers` of a network that is no encoder.
            ValueError: an unknown layer.
        """
        if not layers:
            return self.network(inputs)
        encoder = expect(self.network, Encoder, "`network` with `layers`", "wrap it with `encoders.wrap(module, dim)`")
        with layer_outputs(encoder.layers, layers) as outputs:
            encoder(inputs)
        return [outputs[name] for name in layers]
