"""A pass: a single run of the encoder over the rows of a view or of several views."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from adapt.encoders.encoder import no_tensor
from adapt.streams.tree import map_tensors


class Pass:
    """The result of a single run of the encoder.

    Args:
        views: names of the views, in the order of the rows.
        rows: number of rows of each view.
        features: output of the encoder, ``(sum(rows), ...)``, or a pyramid: a mapping of maps ``(sum(rows), c, h, w)``.
        layers: outputs of the watched layers, by name; the first axis is rows, too.

    Attributes:
        parts: the tensors of the features: one, or the maps of a pyramid.

    Raises:
        ValueError: features or outputs of layers without a row for each input.
    """

    def __init__(self, views: tuple[str, ...], rows: Sequence[int], features: Any, layers: Mapping[str, Any]):
        self.views, self.rows, self.features, self.layers = views, list(rows), features, layers
        self.parts: list[Tensor] = [features] if isinstance(features, Tensor) else _maps(features)
        total = sum(rows)
        if not self.parts:
            raise ValueError(f"the encoder must return features ({total}, ...), {no_tensor(features)}")
        for part in self.parts:
            if part.ndim < 2 or len(part) != total:
                raise ValueError(
                    f"the encoder must return features ({total}, ...) for {total} rows, got {_shape(part)}."
                )
        for name, output in layers.items():
            if not isinstance(output, Tensor) or len(output) != total:
                raise ValueError(
                    f"layer `{name}` must return a tensor with one row for each of {total} inputs, got "
                    f"{_shape(output)}."
                )

    def split(self, values: Any) -> dict[str, Any]:
        """Return the rows of each view, by name."""
        if len(self.views) == 1:
            return {self.views[0]: values}
        if isinstance(values, Mapping):
            parts = {key: value.split(self.rows) for key, value in values.items()}
            return {view: {key: part[i] for key, part in parts.items()} for i, view in enumerate(self.views)}
        return dict(zip(self.views, values.split(self.rows), strict=True))

    def detached(self) -> "Pass":
        """Return the same values without gradient."""
        layers = {name: output.detach() for name, output in self.layers.items()}
        return Pass(self.views, self.rows, map_tensors(self.features, Tensor.detach), layers)

    def serves(self, layers: Sequence[str], *, with_graph: bool) -> bool:
        """Whether a later phase can take this pass: all `layers` of the phase were watched, and the graph is there if
        needed.
        """
        graph = not with_graph or any([part.requires_grad for part in self.parts])
        return graph and self.layers.keys() >= set(layers)


def _maps(features: Any) -> list[Tensor]:
    """Return the maps of a pyramid; empty where features are something else, such as an output of several parts."""
    parts = list(features.values()) if isinstance(features, Mapping) else []
    return parts if all([isinstance(part, Tensor) and part.ndim == 4 for part in parts]) else []


def _shape(value: Any) -> str:
    if value is None:
        return "nothing"
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
