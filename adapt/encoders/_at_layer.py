"""An encoder that ends at an inner layer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from adapt.encoders._layer_outputs import layer_outputs
from adapt.encoders._pyramid import Pyramid
from adapt.encoders.encoder import Encoder, expect_encoder
from adapt.encoders.pooling import main_tensor, places, pooled
from adapt.evaluating import evaluating

OUTPUTS = ("pooled", "map", "tokens")


def at_layer(encoder: Encoder, layer: str, *, example: Any, output: str = "pooled") -> Encoder:
    """Return an encoder with the output of an inner layer as features. Later layers are not computed.

    Args:
        encoder: shares its modules with the result.
        layer: one of ``encoder.layers``. Early layers give general features, late layers specific features.
        example: a small batch of inputs. One pass in evaluation mode reads the feature size.
        output: ``"pooled"`` ``(n, d)``, the mean over the places of a map or over tokens; ``"map"`` ``(n, c, h, w)``,
            the map of the layer; ``"tokens"`` ``(n, t, d)``, the tokens of the layer, or the places of a map in rows.

    Raises:
        TypeError: a module that is no :class:`Encoder`.
        ValueError: an unknown layer, a layer that the pass does not reach, or a layer without a row for each input; an
            unknown `output`, or an `output` that the layer does not have.

    Yosinski et al., How transferable are features in deep neural networks?, 2014, https://arxiv.org/abs/1411.1792
    """
    names = list(expect_encoder(encoder).layers)
    if layer not in names:
        raise ValueError(f"`layer` must be one of {names}, got `{layer}`.")
    if output not in OUTPUTS:
        raise ValueError(f'`output` must be "pooled", "map" or "tokens", got {output!r}.')
    body = _AtLayer(encoder.body, layer, output, ())
    with evaluating(body):
        features = body(example)
    return end_at(encoder, layer, output, features.shape[-1] if output != "map" else features.shape[1])


def end_at(encoder: Encoder, layer: str, output: str, dim: int) -> Encoder:
    """Return the encoder of :func:`at_layer`, where the feature size is known."""
    names = list(encoder.layers)
    found = Encoder(
        _AtLayer(encoder.body, layer, output, names[names.index(layer) + 1 :]), dim,
        layers=[f"whole.{name}" for name in names[: names.index(layer) + 1]],
        preprocess=encoder.preprocess, source=encoder.source, licence=encoder.licence,
        recipe=(
            "adapt.encoders._at_layer.end_at", {"encoder": encoder, "layer": layer, "output": output, "dim": dim},
        ),
    )  # fmt: skip
    found.training = encoder.training  # the modules are shared: their mode stays
    found.keep_in_eval(f"whole.{name}" if name else "whole" for name in encoder.kept_in_eval)
    return found


def modules_of_later_layers(encoder: Encoder) -> set[str]:
    """Return the names in the body of the modules of later layers, which an encoder of :func:`at_layer` or of
    :func:`adapt.encoders.pyramid` skips.
    """
    if not isinstance(encoder.body, _AtLayer | Pyramid):
        return set()

    def inside(name: str, layers: Iterable[str]) -> bool:
        return any(f"{name}.".startswith(f"{layer}.") for layer in layers)

    later = [f"whole.{layer}" for layer in encoder.body.later]
    return {n for n, _ in encoder.body.named_modules() if inside(n, later) and not inside(n, encoder.layers)}


class _AtLayer(nn.Module):
    def __init__(self, whole: nn.Module, layer: str, output: str, later: Sequence[str]):
        super().__init__()
        self.whole, self.layer, self.output, self.later = whole, layer, output, tuple(later)

    def extra_repr(self) -> str:
        return f"layer={self.layer!r}, output={self.output!r}"

    def forward(self, inputs: Any) -> Tensor:
        with layer_outputs({self.layer: self.whole.get_submodule(self.layer)}, stop=True) as outputs:
            self.whole(inputs)
        if self.layer not in outputs:
            raise ValueError(f"the pass did not reach layer `{self.layer}`.")
        x = main_tensor(outputs[self.layer])
        rows = len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
        if len(x) != rows:
            raise ValueError(
                f"layer `{self.layer}` must return a row for each of {rows} inputs, got {tuple(x.shape)}: take another "
                "layer, or the whole encoder."
            )
        return self._shaped(x)

    def _shaped(self, x: Tensor) -> Tensor:
        if self.output == "map" and x.ndim == 4:
            return x
        if self.output == "tokens" and x.ndim in (3, 4):
            return places(x)
        if self.output == "pooled" and x.ndim >= 2:
            return pooled(x)
        raise ValueError(f"layer `{self.layer}` returns {tuple(x.shape)}, which has no output `{self.output}`.")
