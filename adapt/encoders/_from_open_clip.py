"""Models of open_clip: an encoder of images and an encoder of texts into one space."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from adapt.evaluating import evaluating


class DualEncoder(NamedTuple):
    """Two encoders into one space, and the scale of the cosines.

    Args:
        image: from ``(n, 3, height, width)`` images to ``(n, d)`` features; ``image.preprocess`` prepares a photograph.
        text: from a list of texts to ``(n, d)`` features.
        scale: factor of the cosine in the softmax, as the model has learned.
    """

    image: Encoder
    text: Encoder
    scale: float


def from_open_clip(model: nn.Module, tokenizer: Callable[[list[str]], Tensor], preprocess: Any = None) -> DualEncoder:
    """Return both sides of a model of open_clip (CLIP, SigLIP, CoCa, EVA) as encoders.

    ::

        model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32", pretrained="weights.safetensors")
        clip = encoders.from_open_clip(model, open_clip.get_tokenizer("ViT-B-32"), preprocess)
        people = datasets.images("photos", prepare=clip.image.preprocess)
        zeroshot.fit(clip.image, ["a cat", "a dog"], ["a photo of {}."], text=clip.text, scale=clip.scale)

    Args:
        model: as ``open_clip.create_model_and_transforms`` returns. Nothing is downloaded here.
        tokenizer: as ``open_clip.get_tokenizer`` returns, of the same model.
        preprocess: the transform of a photograph, kept as ``image.preprocess``.

    Returns:
        :class:`DualEncoder`. Both encoders hold the whole model, and train with the model: freeze the side that should
        not learn. The features do not have unit length.

    The package is an extra: ``pip install "adapt-losses[clip]"``.

    Raises:
        TypeError: a model without ``encode_image``, ``encode_text`` and ``logit_scale``; a tokenizer that cannot be
            called.

    Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
    https://arxiv.org/abs/2103.00020; Ilharco et al., OpenCLIP, 2021, https://doi.org/10.5281/zenodo.5143773
    """
    lacking = [name for name in ("encode_image", "encode_text", "logit_scale") if name not in dir(model)]
    if not isinstance(model, nn.Module) or lacking:
        raise TypeError(
            f"`model` must be a model of open_clip, got a {type(model).__name__} without {', '.join(lacking)}: take "
            "the first result of `open_clip.create_model_and_transforms`."
        )
    if not callable(tokenizer):
        raise TypeError(
            f"`tokenizer` must be the result of `open_clip.get_tokenizer`, got a {type(tokenizer).__name__}."
        )
    clip: Any = model
    text = _Text(clip, tokenizer)
    with evaluating(text):
        dim = text(["a"]).shape[1]
    return DualEncoder(
        Encoder(_Image(clip), dim, preprocess=preprocess), Encoder(text, dim), float(clip.logit_scale.detach().exp())
    )


class _Image(nn.Module):
    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode_image(images)


class _Text(nn.Module):
    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor]):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def forward(self, texts: Any) -> Tensor:
        tokens = texts if isinstance(texts, Tensor) else self.tokenizer(list(texts))
        return self.model.encode_text(tokens.to(self.model.logit_scale.device, torch.long))
