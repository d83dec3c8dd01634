"""The shared pretrained encoder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from adapt.evaluating import evaluating


class Encoder(nn.Module):
    """A module that maps inputs to features and says what it gives.

    Args:
        body: any module whose output is ``(n, dim)`` features.
        dim: their size.
        layers: names of submodules of `body`, from general (near the input) to specific. ``None`` takes the direct
            children that have parameters.
        preprocess: what the weights expect to be done to a raw image before it is an input; kept, never applied.
        head: the linear layer that was cut off: logits of the classes that the weights were trained on.
        classes: their names, in the order of these logits.
        source: where the weights come from.
        licence: of the weights, as stated there.

    Attributes:
        dim: feature size, for the heads.
        layers: ordered dict from name to submodule.
        head: as given. It is no part of the encoder: not moved, not trained and not saved with it.

    Raises:
        ValueError: a layer that `body` does not have; another number of `classes` than logits.
    """

    def __init__(
        self,
        body: nn.Module,
        dim: int,
        *,
        layers: Sequence[str] | None = None,
        preprocess: Any = None,
        head: nn.Linear | None = None,
        classes: Sequence[str] | None = None,
        source: str | None = None,
        licence: str | None = None,
    ):
        super().__init__()
        self.body, self.dim, self.preprocess = body, dim, preprocess
        self._head = [head]  # in a list: not a part
        self.classes = None if classes is None else [str(name) for name in classes]
        self.source, self.licence = source, licence
        if head is not None and self.classes is not None and len(self.classes) != head.out_features:
            raise ValueError(
                f"`classes` must name the {head.out_features} logits of `head`, got {len(self.classes)} names."
            )
        if layers is None:
            layers = [name for name, child in body.named_children() if any(True for _ in child.parameters())]
        known = dict(body.named_modules())
        for name in layers:
            if name not in known:
                raise ValueError(f"`layers` names `{name}`, which the body does not have; it has {', '.join(known)}.")
        self._layers = tuple(layers)
        self._kept_in_eval: tuple[str, ...] = ()

    def forward(self, inputs: Any) -> Tensor:
        return self.body(inputs)

    @property
    def head(self) -> nn.Linear | None:
        return self._head[0]

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: self.body.get_submodule(name) for name in self._layers}

    def layer_of(self) -> dict[str, str]:
        """The layer that each module inside `body` goes with, by the module's name.

        A module outside of all layers (a norm, a token, a pooling) goes with the layer registered before it, or with
        the first.

        Raises:
            ValueError: an encoder without layers.
        """
        if not self._layers:
            raise ValueError("this encoder names no `layers`: give them to `encoders.wrap(..., layers=[...])`.")
        current, found = self._layers[0], {}
        for name, _ in self.body.named_modules():
            inside = [layer for layer in self._layers if name == layer or name.startswith(f"{layer}.")]
            current = max(inside, key=len, default=current)
            found[name] = current
        return found

    def parameters_of(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each layer, in the order of `layers`; those outside of all go as :meth:`layer_of` says."""
        found: dict[str, list[nn.Parameter]] = {name: [] for name in self._layers}
        seen: set[int] = set()
        for name, layer in self.layer_of().items():
            for parameter in self.body.get_submodule(name).parameters(recurse=False):
                if id(parameter) not in seen:
                    found[layer].append(parameter)
                    seen.add(id(parameter))
        return found

    def keep_in_eval(self, modules: Iterable[str]) -> None:
        """Keep modules inside `body` in evaluation mode through every ``train()``: their BatchNorm statistics stay as
        they are and their dropout is off. Replaces what was held before."""
        self._kept_in_eval = tuple(modules)
        self.train(self.training)

    @property
    def kept_in_eval(self) -> tuple[str, ...]:
        return self._kept_in_eval

    def train(self, mode: bool = True) -> "Encoder":
        super().train(mode)
        for name in self._kept_in_eval:
            self.body.get_submodule(name).training = False
        return self


def wrap(
    body: nn.Module, dim: int | None = None, *, example: Any = None, layers: Sequence[str] | None = None
) -> Encoder:
    """Any module as an encoder.

    Args:
        body: maps inputs to ``(n, dim)`` features. Cut off its classifier first (say, replace it by ``nn.Identity()``).
        dim: feature size; or
        example: a small batch of inputs from which it is read, by one pass in evaluation mode without gradient.
        layers: as in :class:`Encoder`.

    Raises:
        ValueError: neither `dim` nor `example`; features that are not ``(n, dim)``.

    >>> wrap(nn.Flatten(), example=torch.zeros(2, 3, 4)).dim
    12
    """
    if dim is None:
        if example is None:
            raise ValueError("`dim` is not known: give the feature size, or an `example` batch to read it from.")
        with evaluating(body):
            features = body(example)
        if features.ndim != 2:
            raise ValueError(
                f"`body` must return (n, dim) features, got {tuple(features.shape)}: pool or flatten them."
            )
        dim = features.shape[1]
    return Encoder(body, dim, layers=layers)
