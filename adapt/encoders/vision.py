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
        An :class:`Encoder`; with ``"imagenet"`` its `preprocess` is the transform those weights expect.

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
    head, dim = _cut(model, name)
    if weights is not None and preset is None:
        # the file may hold a classifier of any number of classes: it is not part of the encoder
        tensors = {n: t for n, t in read_weights(weights).items() if n not in (f"{head}.weight", f"{head}.bias")}
        load_weights(model, {n: t for n, t in tensors.items() if not n.startswith(("AuxLogits.", "aux1.", "aux2."))})
    return Encoder(model, dim, layers=_layers(model), preprocess=preset.transforms() if preset else None)


def _cut(model: nn.Module, name: str) -> tuple[str, int]:
    """Replace the last linear layer of the model's classifier by the identity; its name and input size."""
    for part in HEADS:
        top = getattr(model, part, None)
        linears = [] if top is None else [(n, m) for n, m in top.named_modules() if isinstance(m, nn.Linear)]
        if linears:
            inner, linear = linears[-1]
            path = f"{part}.{inner}" if inner else part
            model.set_submodule(path, nn.Identity())
            return path, linear.in_features
    raise ValueError(f"`{name}` has no linear classifier to cut off; wrap it yourself with encoders.wrap.")


def _layers(model: nn.Module) -> list[str]:
    """Direct children with parameters, and the numbered stages inside a plain ``features`` sequence."""
    names = []
    for name, child in model.named_children():
        inner = child.named_children() if name == "features" else ()
        stages = [f"{name}.{n}" for n, stage in inner if any(True for _ in stage.parameters())]
        names += stages or ([name] if any(True for _ in child.parameters()) else [])
    return names
