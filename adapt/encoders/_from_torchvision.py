"""Image models of torchvision as encoders."""

from pathlib import Path
from typing import Any

from torch import nn

from adapt.encoders.encoder import Encoder, has_parameters
from adapt.encoders.weights import copy_weights, linear_of, read_weights

CLASSIFIERS = ("fc", "classifier", "heads", "head")  # where the model families of torchvision keep their classifier
AUXILIARY = ("AuxLogits", "aux1", "aux2")  # second classifiers of GoogLeNet and Inception


def load(name: str, weights: str | Path | None = None) -> Encoder:
    """Return a torchvision model without the last linear layer.

    Args:
        name: the name in torchvision: ``"resnet18"``, ``"vgg16"``, ``"efficientnet_b0"``, ``"convnext_tiny"``,
            ``"vit_b_16"``, ``"swin_t"``, ... (``torchvision.models.list_models()``).
        weights: ``None`` for random weights; ``"imagenet"`` for the default weights of torchvision, or the name of
            other weights of torchvision (``"IMAGENET1K_V1"``), downloaded by torchvision unless cached; or the path of
            a weight file for the model, with or without a classifier.

    Returns:
        An :class:`Encoder` with the removed classifier as `head`. With weights of torchvision the encoder has the
        `preprocess`, `classes` and `source` of these weights.

    Raises:
        ValueError: a model unknown to torchvision, a model without a linear classifier, or weights that do not fit.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(f"`{name}` is no torchvision classification model; see torchvision.models.list_models().")
    preset = _preset(models.get_model_weights(name), weights)
    model = models.get_model(name, weights=preset)
    recipe: tuple[str, dict] | None = ("adapt.encoders.load", {"name": name})
    if isinstance(model, models.GoogLeNet | models.Inception3):  # these return a tuple in training otherwise
        recipe = recipe if not model.transform_input else None  # set by the weights alone
        model.aux_logits = False
        for part in AUXILIARY:
            if part in dict(model.named_children()):
                setattr(model, part, None)
    path, head = _remove_classifier(model, name)
    if weights is not None and preset is None:
        head = _load_file(model, weights, path, head)
    return Encoder(
        model,
        head.in_features,
        layers=_layer_names(model),
        preprocess=preset.transforms() if preset else None,
        head=head if weights is not None else None,
        classes=preset.meta["categories"] if preset else None,
        source=preset.url if preset else None if weights is None else str(weights),
        licence="BSD-3-Clause, torchvision; trained on ImageNet, for research" if preset else None,
        recipe=recipe,
    )


def _preset(known: Any, weights: str | Path | None) -> Any:
    """Return the weights of torchvision with a name, or None for a file.

    Raises:
        FileNotFoundError: neither the name of weights nor a file.
    """
    if weights in ("imagenet", "DEFAULT"):
        return known["DEFAULT"]
    if weights is None or Path(weights).exists():
        return None
    name = str(weights).rpartition(".")[2]
    if name in known.__members__:
        return known[name]
    if Path(weights).suffix:
        return None
    raise FileNotFoundError(
        f"`weights` must be None, 'imagenet', one of {list(known.__members__)} or the path of a weight file, got "
        f"{str(weights)!r}, and there is no such file."
    )


def _load_file(model: nn.Module, file: str | Path, path: str, head: nn.Linear) -> nn.Linear:
    """Load a file into `model`. Return the classifier of the file, or `head` where the file has no classifier."""
    tensors, where = read_weights(file), f"`{file}`: "
    names = (f"{path}.weight", f"{path}.bias")
    classifier = {n.removeprefix(f"{path}."): tensors.pop(n) for n in names if n in tensors}
    prefixes = tuple(f"{part}." for part in AUXILIARY)
    copy_weights(model, {n: t for n, t in tensors.items() if not n.startswith(prefixes)}, where)
    return linear_of(classifier, head.in_features, where) if classifier else head


def _remove_classifier(model: nn.Module, name: str) -> tuple[str, nn.Linear]:
    """Replace the last linear layer of the classifier by the identity. Return the path of the layer, and the layer."""
    children = dict(model.named_children())
    for part in CLASSIFIERS:
        inside = children[part].named_modules() if part in children else ()
        linears = [(n, m) for n, m in inside if isinstance(m, nn.Linear)]
        if linears:
            inner, linear = linears[-1]
            path = f"{part}.{inner}" if inner else part
            model.set_submodule(path, nn.Identity())
            return path, linear
    raise ValueError(f"`{name}` has no linear classifier to cut off; wrap it yourself with encoders.wrap.")


def _layer_names(model: nn.Module) -> list[str]:
    """Return the names of the direct children with parameters, of the stages in ``features``, of the blocks of a
    ViT."""
    names = []
    for name, child in model.named_children():
        where = {"features": name, "encoder": f"{name}.layers"}.get(name)
        inner = model.get_submodule(where).named_children() if where else ()
        stages = [f"{where}.{n}" for n, stage in inner if has_parameters(stage)]
        names += stages or ([name] if has_parameters(child) else [])
    return names
