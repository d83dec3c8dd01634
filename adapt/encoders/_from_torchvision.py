"""torchvision's image models as encoders."""

from pathlib import Path

from torch import nn

from adapt.encoders.encoder import Encoder
from adapt.encoders.weights import load_weights, read_weights

HEADS = ("fc", "classifier", "heads", "head")  # where torchvision's families keep their classifier


def load(name: str, weights: str | Path | None = None) -> Encoder:
    """A torchvision model without its last linear layer.

    Args:
        name: as torchvision spells it: ``"resnet18"``, ``"vgg16"``, ``"efficientnet_b0"``, ``"convnext_tiny"``,
            ``"vit_b_16"``, ``"swin_t"``, ... (``torchvision.models.list_models()``).
        weights: ``None`` for random ones; ``"imagenet"`` for torchvision's default ones, which it downloads from its
            hub unless they are cached; or the path of a weight file for that model, with or without its classifier.

    Returns:
        An :class:`Encoder` with the classifier that was cut off as its `head`; with ``"imagenet"`` its `preprocess` is the
        transform that those weights expect, and `classes` and `source` are theirs.

    Raises:
        ValueError: a model that torchvision does not have, one whose classifier is not a linear layer, or weights
            that do not fit.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(f"`{name}` is no torchvision classification model; see torchvision.models.list_models().")
    preset = models.get_model_weights(name).DEFAULT if weights == "imagenet" else None  # type: ignore[attr-defined]
    model = models.get_model(name, weights=preset)
    if getattr(model, "aux_logits", False):  # GoogLeNet and Inception return a tuple in training otherwise
        model.aux_logits = False
        for part in ("AuxLogits", "aux1", "aux2"):
            if hasattr(model, part):
                setattr(model, part, None)
    place, head = _cut(model, name)
    if weights is not None and preset is None:
        # the file may hold a classifier of any number of classes, or none
        tensors = read_weights(weights)
        own = {
            n.removeprefix(f"{place}."): tensors.pop(n) for n in (f"{place}.weight", f"{place}.bias") if n in tensors
        }
        load_weights(model, {n: t for n, t in tensors.items() if not n.startswith(("AuxLogits.", "aux1.", "aux2."))})
        if len(own) == 2:
            head = nn.Linear(head.in_features, len(own["bias"]))
            load_weights(head, own)
    return Encoder(
        model,
        head.in_features,
        layers=_layers(model),
        preprocess=preset.transforms() if preset else None,
        head=head if weights is not None else None,
        classes=preset.meta["categories"] if preset else None,
        source=preset.url if preset else None if weights is None else str(weights),
        licence="BSD-3-Clause, torchvision; trained on ImageNet, for research" if preset else None,
    )


def _cut(model: nn.Module, name: str) -> tuple[str, nn.Linear]:
    """Replace the last linear layer of the model's classifier by the identity; its name, and the layer."""
    for part in HEADS:
        top = getattr(model, part, None)
        linears = [] if top is None else [(n, m) for n, m in top.named_modules() if isinstance(m, nn.Linear)]
        if linears:
            inner, linear = linears[-1]
            path = f"{part}.{inner}" if inner else part
            model.set_submodule(path, nn.Identity())
            return path, linear
    raise ValueError(f"`{name}` has no linear classifier to cut off; wrap it yourself with encoders.wrap.")


def _layers(model: nn.Module) -> list[str]:
    """Direct children with parameters; the stages inside a ``features`` sequence, the blocks inside a ViT's encoder."""
    names = []
    for name, child in model.named_children():
        where = {"features": name, "encoder": f"{name}.layers"}.get(name)
        inner = model.get_submodule(where).named_children() if where else ()
        stages = [f"{where}.{n}" for n, stage in inner if any(True for _ in stage.parameters())]
        names += stages or ([name] if any(True for _ in child.parameters()) else [])
    return names
