"""The network as it was before fine-tuning."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class FrozenCopy(nn.Module):
    """A frozen copy, made now: in evaluation mode, without gradient. It is saved with the term that owns it, so that a
    resumed run compares with the same start."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "FrozenCopy":
        return super().train(False)

    @torch.no_grad()
    def forward(self, inputs: Any, layers: Sequence[str] = ()) -> Any:
        """The network's output; or what the named layers of a copied encoder return, where they are given."""
        if not layers:
            return self.network(inputs)
        outputs: dict[str, Tensor] = {}
        hooks = [
            self.network.layers[name].register_forward_hook(  # type: ignore[index, union-attr]
                lambda _, __, out, name=name: outputs.update({name: out})
            )
            for name in layers
        ]
        try:
            self.network(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return [outputs[name] for name in layers]
