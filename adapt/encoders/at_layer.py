"""An encoder that ends at an inner layer."""

from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder


def at_layer(encoder: Encoder, layer: str, *, example: Any, level: str = "pooled") -> Encoder:
    """The features of an inner layer, as an encoder: what comes after the layer is not computed.

    Args:
        encoder: shares its modules with the result.
        layer: one of ``encoder.layers``; general features come from early ones, specific ones from late ones.
        example: a small batch of inputs from which the size is read, by one pass in evaluation mode.
        level: ``"pooled"`` ``(n, d)``: the mean over the places of a map or over tokens; ``"map"`` ``(n, c, h, w)`` as the
            layer gives it; ``"tokens"`` ``(n, t, d)``: tokens as they are, the places of a map in rows.

    Raises:
        ValueError: a layer that the encoder does not have or that the pass does not reach, a level that its output does not
            have.

    Yosinski et al., How transferable are features in deep neural networks?, 2014, https://arxiv.org/abs/1411.1792
    """
    names = list(encoder.layers)
    if layer not in names:
        raise ValueError(f"`layer` must be one of {names}, got `{layer}`.")
    if level not in ("pooled", "map", "tokens"):
        raise ValueError(f'`level` must be "pooled", "map" or "tokens", got {level!r}.')
    body = _AtLayer(encoder.body, layer, level)
    modes = [(module, module.training) for module in body.modules()]
    with torch.no_grad():
        features = body.eval()(example)
    for module, training in modes:
        module.training = training
    dim = features.shape[-1] if level != "map" else features.shape[1]
    found = Encoder(
        body, dim, layers=[f"whole.{name}" for name in names[: names.index(layer) + 1]],
        preprocess=encoder.preprocess, source=encoder.source, licence=encoder.licence,
    )  # fmt: skip
    found.training = encoder.training  # the modules are shared: their mode stays
    found.hold(f"whole.{name}" if name else "whole" for name in encoder.held)
    return found


class _Reached(Exception):
    pass


class _AtLayer(nn.Module):
    def __init__(self, whole: nn.Module, layer: str, level: str):
        super().__init__()
        self.whole, self.layer, self.level = whole, layer, level

    def forward(self, inputs: Any) -> Tensor:
        found: list[Tensor] = []

        def stop(module, arguments, output):
            found.append(output[0] if isinstance(output, tuple) else output)
            raise _Reached

        hook = self.whole.get_submodule(self.layer).register_forward_hook(stop)
        try:
            self.whole(inputs)
        except _Reached:
            return self.shaped(found[0])
        finally:
            hook.remove()
        raise ValueError(f"the pass did not reach layer `{self.layer}`.")

    def shaped(self, output: Tensor) -> Tensor:
        if self.level == "map" and output.ndim == 4:
            return output
        if self.level == "tokens" and output.ndim in (3, 4):
            return output.flatten(2).transpose(1, 2) if output.ndim == 4 else output
        if self.level == "pooled" and output.ndim >= 2:
            return output.mean((2, 3)) if output.ndim == 4 else output.mean(1) if output.ndim == 3 else output
        raise ValueError(f"layer `{self.layer}` returns {tuple(output.shape)}, which has no level `{self.level}`.")
