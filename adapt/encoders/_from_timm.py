"""Image models of timm as encoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from adapt.encoders.encoder import Encoder, called_names
from adapt.encoders.weights import load_weights

INSTALL = 'pip install "adapt-losses[vision]"  (or: pip install timm)'


def from_timm(
    name: str,
    weights: str | Path | None = None,
    *,
    strict: bool = True,
    rename: Mapping[str, str] | None = None,
    **options: Any,
) -> Encoder:
    """Return a timm model without its classifier. The classifier is kept as ``encoder.head``.

    Args:
        name: the name in timm: ``"vit_small_patch16_224"``, ``"convnext_tiny.fb_in22k"``, ... (``timm.list_models()``).
        weights: ``None`` for random weights; ``"pretrained"`` for the weights of timm, downloaded by timm from the hub
            unless cached; or the path of a weight file for the whole model.
        strict, rename: for the weight file, as in :func:`load_weights`.
        options: for ``timm.create_model``, such as ``img_size=96``.

    Returns:
        An :class:`Encoder` with the pooled features before the classifier. With ``"pretrained"`` timm gives the
        `source` and the `licence` of the weights. `preprocess` is the evaluation transform of timm for the model.

    Raises:
        ImportError: timm is not installed.
        ValueError: a model unknown to timm, or weights that do not fit.

    Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"timm is not installed: {INSTALL}") from error
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:3]
        raise ValueError(f"`{name}` is no model of timm; similar names: {', '.join(near) or 'see timm.list_models()'}.")
    model: Any = timm.create_model(name, pretrained=weights == "pretrained", **options)
    if weights is not None and weights != "pretrained":
        if not Path(weights).exists() and not Path(weights).suffix:
            raise FileNotFoundError(
                f"`weights` must be None, 'pretrained' or the path of a weight file, got {str(weights)!r}, and there "
                "is no such file: 'pretrained' takes the weights of timm. Other weights of timm have a tag in `name`, "
                'such as "convnext_tiny.fb_in22k".'
            )
        load_weights(model, weights, strict=strict, rename=rename)
    classifier = model.get_classifier()
    head = classifier if isinstance(classifier, nn.Linear) else None
    model.reset_classifier(0)
    pretrained = weights == "pretrained"
    settings = model.pretrained_cfg
    return Encoder(
        model,
        model.head_hidden_size,
        layers=_layer_names(model),
        preprocess=timm.data.create_transform(**timm.data.resolve_data_config({}, model=model)),
        head=head,
        source=(settings.get("hf_hub_id") or settings.get("url")) if pretrained else None,
        licence=settings.get("license") if pretrained else None,
        recipe=("adapt.encoders.from_timm", {"name": name, **options}),
    )


def _layer_names(model: nn.Module) -> list[str]:
    """Return the names of the direct children with parameters; for a sequence of blocks or stages the parts of the
    sequence."""
    names = []
    for name, child in model.named_children():
        stages = name in ("blocks", "stages", "layers", "features") and isinstance(child, nn.Sequential)
        parts = [(f"{name}.{n}", part) for n, part in child.named_children()] if stages else []
        inner = [found for part in parts for found in called_names(*part)]
        names += inner or called_names(name, child)
    return names
