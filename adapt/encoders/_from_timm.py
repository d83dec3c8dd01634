"""timm's image models as encoders."""

from pathlib import Path
from typing import Any

from torch import nn

from adapt.encoders.encoder import Encoder
from adapt.encoders.weights import load_weights

INSTALL = 'pip install "adapt-losses[vision]"  (or: pip install timm)'


def from_timm(name: str, weights: str | Path | None = None, **options: Any) -> Encoder:
    """A timm model without its classifier, which is kept as ``encoder.head``.

    Args:
        name: as timm spells it: ``"vit_small_patch16_224"``, ``"convnext_tiny.fb_in22k"``, ... (``timm.list_models()``).
        weights: ``None`` for random ones; ``"pretrained"`` for timm's, which it downloads from its hub unless they are cached; or
            the path of a weight file for the whole model.
        options: for ``timm.create_model``, such as ``img_size=96``.

    Returns:
        An :class:`Encoder` with the pooled features before the classifier; its `preprocess` is timm's evaluation transform for
        these weights, its `source` and `licence` are what timm says of them.

    Raises:
        ImportError: timm is not installed.
        ValueError: a model that timm does not have, or weights that do not fit.

    Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"timm is not installed: {INSTALL}") from error
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:3]
        raise ValueError(f"`{name}` is no model of timm; some that are: {', '.join(near) or 'see timm.list_models()'}.")
    model: Any = timm.create_model(name, pretrained=weights == "pretrained", **options)
    if weights is not None and weights != "pretrained":
        load_weights(model, weights)
    classifier = model.get_classifier()
    head = classifier if isinstance(classifier, nn.Linear) else None
    model.reset_classifier(0)
    pretrained = weights == "pretrained"
    settings = model.pretrained_cfg
    return Encoder(
        model,
        model.num_features if not hasattr(model, "head_hidden_size") else model.head_hidden_size,
        layers=_layers(model),
        preprocess=timm.data.create_transform(**timm.data.resolve_data_config({}, model=model)),
        head=head,
        source=(settings.get("hf_hub_id") or settings.get("url")) if pretrained else None,
        licence=settings.get("license") if pretrained else None,
    )


def _layers(model: nn.Module) -> list[str]:
    """Direct children with parameters; the blocks or stages inside a sequence of them."""
    names = []
    for name, child in model.named_children():
        parts = list(child.named_children()) if isinstance(child, nn.Sequential | nn.ModuleList) else []
        inner = [f"{name}.{n}" for n, part in parts if any(True for _ in part.parameters())]
        if name in ("blocks", "stages", "layers", "features") and inner:
            names += inner
        elif any(True for _ in child.parameters()):
            names.append(name)
    return names
