"""Detectors of torchvision as an encoder, with the rest of the model for a head."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.encoders._pyramid import INPUT
from adapt.encoders.encoder import Encoder, has_parameters
from adapt.encoders.weights import copy_weights, read_weights
from adapt.evaluating import evaluating
from losses.options import COUNT, check

SIZES = ("min_size", "max_size", "fixed_size", "_skip_resize")
SIDE = 64  # pixels of the images that the channels are read with; models of one size take that size


def detector(name: str, classes: int, weights: str | Path | None = None, **options: Any) -> Encoder:
    """Return the backbone of a detector of torchvision, for :class:`adapt.heads.Detector`. Nothing is downloaded.

    torchvision itself downloads a backbone even for ``weights=None``, unless ``weights_backbone=None`` is given too.

    Args:
        name: the name in torchvision: ``"fasterrcnn_mobilenet_v3_large_fpn"``, ``"fasterrcnn_resnet50_fpn_v2"``,
            ``"ssdlite320_mobilenet_v3_large"``, ``"retinanet_resnet50_fpn_v2"``, ``"fcos_resnet50_fpn"``, ...
        classes: the number of classes, without the background.
        weights: None for random weights, or the file of a whole detector. Where the file has other classes, the tensors
            of another shape behind the backbone keep their random values.
        options: for the builder of torchvision, such as ``box_detections_per_img=50``.

    Returns:
        An :class:`Encoder` from images in [0, 1] to a pyramid of maps, the coarsest first, and the images. Images keep
        their size: the data set says the size. The encoder normalises the images as torchvision does. The rest of the
        model is ``encoder.head``. BatchNorm layers are frozen, statistics and weights, where the file has loaded
        them, and nowhere else: frozen statistics of a random start harm without a word.

    Raises:
        ValueError: a name that is no detector of boxes; an option about sizes or downloads; weights that do not fit.

    Ren et al., Faster R-CNN, 2015, https://arxiv.org/abs/1506.01497; Liu et al., SSD, 2016,
    https://arxiv.org/abs/1512.02325
    """
    from torchvision import models

    known = [n for n in models.list_models(module=models.detection) if not n.startswith(("mask", "keypoint"))]
    if name not in known:
        raise ValueError(f"`name` must be a detector of boxes of torchvision, {', '.join(known)}, got {name!r}.")
    check(COUNT, classes=classes)
    if wrong := [option for option in options if option in (*SIZES, "weights_backbone", "num_classes")]:
        raise ValueError(
            f"`{wrong[0]}` must stay away: images keep their size, `classes` says the number of classes, and nothing "
            "is downloaded; `weights` takes the file of a whole detector."
        )
    model = models.get_model(name, weights=None, weights_backbone=None, num_classes=int(classes) + 1, **options)
    loaded = set() if weights is None else _load(model, weights)
    backbone, transform = model.backbone, model.transform
    model.backbone, model.transform = Given(), SameSize()
    body = Backbone(backbone, list(transform.image_mean), list(transform.image_std))
    with evaluating(body):
        maps = body(torch.zeros(1, 3, *(transform.fixed_size or (SIDE, SIDE))))
    dims = {key: found.shape[1] for key, found in maps.items() if key != INPUT}
    encoder = Encoder(
        body, next(iter(dims.values())), layers=_layers(body), head=model, dims=dims,
        source=None if weights is None else str(weights),
        recipe=("adapt.encoders.detector", {"name": name, "classes": int(classes), **options}),
    )  # fmt: skip
    _freeze_loaded(encoder, loaded)
    return encoder


class Backbone(nn.Module):
    """The backbone of a detector on normalised images: its maps by name, from coarse to fine, and the images."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, mean: list[float], std: list[float]):
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.backbone((images - self.mean) / self.std)
        return {name: maps[name] for name in reversed(maps)} | {INPUT: images}


class Given(nn.Module):
    """Stands in for the backbone of a model of torchvision: returns the maps that were given, fine to coarse."""

    maps: Any = None

    def forward(self, images: Tensor) -> Any:
        return self.maps


class SameSize(nn.Module):
    """Stands in for the transform of a model of torchvision: images and boxes keep their size."""

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[Any, Any]:
        from torchvision.models.detection.image_list import ImageList

        return ImageList(torch.stack(images), [(x.shape[-2], x.shape[-1]) for x in images]), targets

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        return result


def _load(model: nn.Module, weights: str | Path) -> set[str]:
    """Load a file into a detector. Return the names of the tensors that come from the file."""
    tensors, own = read_weights(weights), model.state_dict()
    behind = [n for n in own if n in tensors and not n.startswith("backbone.")]
    other = {n for n in behind if tensors[n].shape != own[n].shape}
    report = copy_weights(model, {n: own[n] if n in other else t for n, t in tensors.items()}, f"`{weights}`: ")
    return set(report.loaded) - other


def _freeze_loaded(encoder: Encoder, loaded: Collection[str]) -> None:
    """Freeze the BatchNorm layers of the backbone whose statistics were loaded."""
    frozen = [n for n, m in encoder.body.named_modules() if isinstance(m, _BatchNorm) and f"{n}.running_mean" in loaded]
    for name in frozen:
        encoder.body.get_submodule(name).requires_grad_(False)
    encoder.keep_in_eval(frozen)


def _layers(body: nn.Module) -> list[str]:
    """Return the names of the parts of the network, and behind them of the parts that make the pyramid."""
    names = []
    for name, child in body.get_submodule("backbone").named_children():
        parts = [f"backbone.{name}.{n}" for n, part in child.named_children() if has_parameters(part)]
        names += parts if name in ("body", "features") else [f"backbone.{name}"] if parts else []
    return names
