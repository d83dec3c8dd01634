"""An encoder with the maps of several layers as features."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders._layer_outputs import layer_outputs
from adapt.encoders.encoder import Encoder, expect_encoder
from adapt.encoders.pooling import main_tensor
from adapt.evaluating import evaluating

INPUT = "input"  # the name of the images themselves in a pyramid: heads read the size of the images


def pyramid(encoder: Encoder, layers: Sequence[str] | None = None, *, example: Tensor) -> Encoder:
    """Return an encoder with a pyramid of maps as features: a mapping from the name of a layer to ``(n, c, h, w)``.

    The coarsest map comes first. The last entry, ``"input"``, holds the images, so that a head knows their size.

    Args:
        encoder: shares its modules with the result.
        layers: some of ``encoder.layers``. None takes the last layer of each size of map: the layers with
            strides 2, 4, 8, 16 and 32 of most networks.
        example: a small batch of images ``(n, channels, h, w)``. One pass in evaluation mode reads sizes and channels.

    Returns:
        An :class:`Encoder` with `dims`, the channels of each map by name from coarse to fine. ``dim`` is the number of
        channels of the coarsest map. Layers behind the last map are not computed.

    Raises:
        TypeError: a module that is no :class:`Encoder`.
        ValueError: an unknown layer, a layer twice; a layer without a map ``(n, c, h, w)``; no layer with a map.

    Lin et al., Feature Pyramid Networks for Object Detection, 2017, https://arxiv.org/abs/1612.03144
    """
    known = expect_encoder(encoder).layers
    if not isinstance(example, Tensor) or example.ndim != 4:
        found = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise ValueError(f"`example` must be images (n, channels, h, w), got {found}.")
    asked = list(known) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"`layers` must be some of {list(known)}, got {unknown[0]!r}.")
    if len(set(asked)) < len(asked) or not asked:
        raise ValueError(f"`layers` must name at least one layer, and each layer once, got {asked}.")
    names = [name for name in known if name in asked]
    with evaluating(encoder), layer_outputs(known, names) as outputs:
        encoder.body(example)
    maps = {name: main_tensor(outputs[name]) for name in names if name in outputs}
    if layers is None:
        names = list({found.shape[2:]: name for name, found in maps.items() if _is_map(found, example)}.values())
        if not names:
            raise ValueError(
                f"no layer of the encoder returns a map (n, c, h, w); the layers are {list(known)}: a network of "
                "tokens has no pyramid."
            )
    for name in names:
        if name not in maps or not _is_map(maps[name], example):
            raise ValueError(
                f"layer `{name}` must return a map (n, c, h, w) for images {tuple(example.shape)}, channels first, got "
                f"{tuple(maps[name].shape) if name in maps else 'nothing'}: name other `layers`."
            )
    dims = {name: maps[name].shape[1] for name in reversed(names)}
    return pyramid_of(encoder, dims)


def pyramid_of(encoder: Encoder, dims: Mapping[str, int]) -> Encoder:
    """Return the encoder of :func:`pyramid`, where the channels of each map are known, from coarse to fine."""
    names, top = list(encoder.layers), next(iter(dims))
    used = names[: names.index(top) + 1]
    found = Encoder(
        Pyramid(encoder.body, list(dims), names[len(used) :]), dims[top],
        layers=[f"whole.{name}" for name in used],
        preprocess=encoder.preprocess, source=encoder.source, licence=encoder.licence, dims=dims,
        recipe=("adapt.encoders._pyramid.pyramid_of", {"encoder": encoder, "dims": dict(dims)}),
    )  # fmt: skip
    found.training = encoder.training  # the modules are shared: their mode stays
    found.keep_in_eval(f"whole.{name}" if name else "whole" for name in encoder.kept_in_eval)
    return found


class Pyramid(nn.Module):
    """The outputs of several layers of a network by name, from coarse to fine, and the images."""

    def __init__(self, whole: nn.Module, names: Sequence[str], later: Sequence[str]):
        super().__init__()
        self.whole, self.names, self.later = whole, tuple(names), tuple(later)

    def extra_repr(self) -> str:
        return f"names={list(self.names)}"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        layers = {name: self.whole.get_submodule(name) for name in self.names}
        # a trace cannot leave a module early; a program drops the unused layers itself
        with layer_outputs(layers, stop=not torch.compiler.is_compiling()) as outputs:
            self.whole(images)
        return {name: main_tensor(outputs[name]) for name in self.names} | {INPUT: images}


def _is_map(output: Any, images: Tensor) -> bool:
    """Whether an output is a map: channels first, and both sides divided by the same stride, up to rounding."""
    if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != len(images):
        return False
    (h, w), (H, W) = output.shape[2:], images.shape[2:]
    stride = H / h
    return abs(w - W / stride) <= 1 + W / H
