"""The shared pretrained encoder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from adapt.evaluating import evaluating
from losses.options import COUNT, check, is_whole


class Encoder(nn.Module):
    """A module that maps inputs to features, and describes the features and the layers.

    Args:
        body: any module from inputs to ``(n, dim)`` features.
        dim: the feature size.
        layers: names of submodules of `body`, from general (near the input) to specific. ``None`` takes the direct
            children that have parameters.
        preprocess: the transform from a raw image to an input of the network. Kept for the user, never applied.
        head: the removed linear layer: logits of the classes of the pretraining; of :func:`adapt.encoders.detector` the
            rest of the model.
        classes: names of the classes of `head`, in the order of the logits.
        source: where the weights come from.
        licence: of the weights, as the source states.
        recipe: name of the function, and its plain arguments, that make an encoder of the same architecture with random
            weights: see :class:`adapt.protocols.HasRecipe`. ``adapt.Model.save`` writes the recipe. ``None``: the parts
            of `body` tell the architecture, where torch made them all.
        dims: the channels of each map by name, from coarse to fine, where `body` returns a pyramid of maps: see
            :func:`adapt.encoders.pyramid`. ``None``: the features are one tensor.

    Attributes:
        dim: the feature size, for the heads; of a pyramid the channels of the coarsest map.
        dims: as given.
        layers: ordered dict from name to submodule.
        head: as given. The head is not a part of the encoder: not moved, not trained and not saved with the encoder.

    Raises:
        ValueError: a feature size below 1; a layer outside of `body`; another number of `classes` than logits; `dims`
            without a number of channels for each map.
    """

    def __init__(
        self,
        body: nn.Module,
        dim: int,
        *,
        layers: Sequence[str] | None = None,
        preprocess: Any = None,
        head: Any = None,
        classes: Sequence[str] | None = None,
        source: str | None = None,
        licence: str | None = None,
        recipe: tuple[str, Mapping[str, Any]] | None = None,
        dims: Mapping[str, int] | None = None,
    ):
        super().__init__()
        check(COUNT, dim=dim)
        self.body, self.dim, self.preprocess = body, int(dim), preprocess
        self._head = [head]  # in a list: not a part
        self.classes = None if classes is None else [str(name) for name in classes]
        self.source, self.licence, self._recipe = source, licence, recipe
        if dims is not None and not (isinstance(dims, Mapping) and dims and all(is_whole(v, 1) for v in dims.values())):
            raise ValueError(f"`dims` must be the channels of each map by name, from coarse to fine, got {dims!r}.")
        self.dims = None if dims is None else {str(name): int(size) for name, size in dims.items()}
        if head is not None and self.classes is not None and len(self.classes) != head.out_features:
            raise ValueError(
                f"`classes` must name the {head.out_features} logits of `head`, got {len(self.classes)} names."
            )
        if layers is None:
            layers = [name for name, child in body.named_children() if has_parameters(child)]
        known = dict(body.named_modules())
        for name in layers:
            if name not in known:
                raise ValueError(f"`layers` names `{name}`, which the body does not have; it has {', '.join(known)}.")
        self._layers = tuple(layers)
        self._kept_in_eval: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        shown = [f"dim={self.dim}", f"layers=[{', '.join(self._layers)}]"]
        if self.source is not None:
            shown.append(f"source={self.source!r}")
        if self._kept_in_eval:
            shown.append(f"kept_in_eval={len(self._kept_in_eval)} modules")
        return ", ".join(shown)

    def forward(self, inputs: Any) -> Any:
        return self.body(inputs)

    @property
    def head(self) -> Any:
        return self._head[0]

    @property
    def recipe(self) -> tuple[str, Mapping[str, Any]] | None:
        return self._recipe

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: self.body.get_submodule(name) for name in self._layers}

    def layer_of(self) -> dict[str, str]:
        """Return the name of the layer that each module inside `body` belongs to, by the name of the module.

        A module outside of all layers (a norm, a token, a pooling) belongs to the layer registered before the module,
        or to the first layer.

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
        """Return the parameters of each layer, in the order of `layers`.

        A parameter outside of all layers belongs to a layer as :meth:`layer_of` says.

        Raises:
            ValueError: an encoder without layers.
        """
        found: dict[str, list[nn.Parameter]] = {name: [] for name in self._layers}
        seen: set[int] = set()
        for name, layer in self.layer_of().items():
            for parameter in self.body.get_submodule(name).parameters(recurse=False):
                if id(parameter) not in seen:
                    found[layer].append(parameter)
                    seen.add(id(parameter))
        return found

    def keep_in_eval(self, modules: Iterable[str]) -> None:
        """Keep modules inside `body` in evaluation mode through every ``train()``.

        The BatchNorm statistics of the modules do not change; dropout is off. The names replace the names of an
        earlier call."""
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
    """Return any module as an encoder.

    Args:
        body: maps inputs to ``(n, dim)`` features. Replace the classifier by ``nn.Identity()`` first.
        dim: the feature size. Without `dim` an `example` is needed.
        example: a small batch of inputs. One pass in evaluation mode without gradient reads the feature size.
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
        if not isinstance(features, Tensor):
            raise ValueError(f"`body` must return (n, dim) features, {no_tensor(features)}")
        if features.ndim != 2:
            raise ValueError(
                f"`body` must return (n, dim) features, got {tuple(features.shape)}: pool or flatten them."
            )
        dim = features.shape[1]
    return Encoder(body, dim, layers=layers)


def no_tensor(output: Any) -> str:
    """Return what an encoder returned in place of a tensor, and the remedy, as the end of a message."""
    kind = type(output).__name__
    if isinstance(output, Mapping) and "last_hidden_state" in output:
        return f"got a {kind} of transformers: take `encoders.from_transformers(model)`."
    part = repr(next(iter(output), 0)) if isinstance(output, Mapping) else "0"
    found = f" with {list(output)}" if isinstance(output, Mapping) else ""
    return (
        f"got a {kind}{found}: wrap a module that returns one part, "
        f"`def forward(self, x): return self.body(x)[{part}]`."
    )


def expect_encoder(encoder: object) -> Encoder:
    """Return `encoder`, or raise a TypeError unless `encoder` is an :class:`Encoder`."""
    if not isinstance(encoder, Encoder):
        raise TypeError(
            f"`encoder` must be an encoders.Encoder, got a {type(encoder).__name__}: "
            "wrap the module with `encoders.wrap(module, dim)`."
        )
    return encoder


def called_names(name: str, module: nn.Module) -> list[str]:
    """Return `name`, or the names of the entries of an ``nn.ModuleList``, which is never called itself; of modules
    with parameters."""
    if not isinstance(module, nn.ModuleList):
        return [name] if has_parameters(module) else []
    return [inner for number, child in module.named_children() for inner in called_names(f"{name}.{number}", child)]


def has_parameters(module: nn.Module) -> bool:
    """Return whether `module` has a parameter, at any depth."""
    return any(True for _ in module.parameters())
