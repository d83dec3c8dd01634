"""An encoder that ends at an inner layer."""

from typing import Any

from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from adapt.evaluating import evaluating


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
    with evaluating(body):
        features = body(example)
    dim = features.shape[-1] if level != "map" else features.shape[1]
    found = Encoder(
        body, dim, layers=[f"whole.{name}" for name in names[: names.index(layer) + 1]],
        preprocess=encoder.preprocess, source=encoder.source, licence=encoder.licence,
    )  # fmt: skip
    found.training = encoder.training  # the modules are shared: their mode stays
    found.keep_in_eval(f"whole.{name}" if name else "whole" for name in encoder.kept_in_eval)
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
            found.append(output)
            raise _Reached

        hook = self.whole.get_submodule(self.layer).register_forward_hook(stop)
        try:
            self.whole(inputs)
        except _Reached:
            return self.shaped(found[0])
        finally:
            hook.remove()
        raise ValueError(f"the pass did not reach layer `{self.layer}`.")

    def shaped(self, output: Any) -> Tensor:
        x = first(output)
        if self.level == "map" and x.ndim == 4:
            return x
        if self.level == "tokens" and x.ndim in (3, 4):
            return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x
        if self.level == "pooled" and x.ndim >= 2:
            return pooled(x)
        raise ValueError(f"layer `{self.layer}` returns {tuple(x.shape)}, which has no level `{self.level}`.")


def first(output: Any) -> Tensor:
    """A layer's output, or the first part of a tuple."""
    return output[0] if isinstance(output, (tuple, list)) else output


def pooled(output: Any) -> Tensor:
    """``(n, d)`` as it is, the mean over the places of a map ``(n, d, h, w)``, over the tokens of ``(n, t, d)``.

    Of a tuple the first part counts.
    """
    x = first(output)
    if x.ndim == 3:
        return x.mean(1)
    return x.flatten(2).mean(2) if x.ndim > 3 else x
