"""What to change where an encoder cannot read its inputs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.protocols import HasRecipe, offers
from adapt.streams.tree import tensors

CHANNELS_SECOND = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def explained(error: RuntimeError, encoder: nn.Module, inputs: Any, streams: Sequence[str]) -> Exception:
    """Return an error with the remedy where dtype or shape of the inputs explain `error`, else `error` itself."""
    found = next(tensors(inputs), None)
    if found is None or isinstance(error, torch.OutOfMemoryError):
        return error
    remedy = _remedy_of_dtype(encoder, found) or _remedy_of_shape(encoder, found)
    if not remedy:
        return error
    what = f"the inputs of stream `{streams[0]}`, {tuple(found.shape)} of {found.dtype}"
    return ValueError(f"the encoder cannot read {what}: {remedy}. ({error})")


def _remedy_of_dtype(encoder: nn.Module, found: Tensor) -> str:
    wanted = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), None)
    embeds = any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in encoder.modules())
    if wanted is None or found.dtype == wanted or (embeds and not found.is_floating_point()):
        return ""
    if found.dtype == torch.uint8:
        return f"the weights are {wanted}; give numbers in [0, 1], `images.float() / 255`"
    name = str(wanted).removeprefix("torch.")
    return f"the weights are {wanted}; give the dataset inputs of one precision, `inputs.to(torch.{name})`"


def _remedy_of_shape(encoder: nn.Module, found: Tensor) -> str:
    first = next((m for m in encoder.modules() if isinstance(m, (nn.Linear, *CHANNELS_SECOND))), None)
    if isinstance(first, nn.Linear) and found.ndim >= 2 and found.shape[-1] != first.in_features:
        return f"the first layer, {first}, takes {first.in_features} numbers per row; give inputs of this size"
    if isinstance(first, CHANNELS_SECOND) and found.ndim >= 2:
        axes = len(first.kernel_size) + 2
        if found.ndim != axes:
            return f"the first layer, {first}, takes batches of {axes} axes, (n, channels, ...); give such inputs"
        if found.shape[1] == 1 and first.in_channels > 1:
            return (
                f"the first layer takes {first.in_channels} channels; repeat the channel in the dataset, "
                f"`row.expand({first.in_channels}{', -1' * (axes - 2)})`"
            )
        if found.shape[1] != first.in_channels:
            return (
                f"the first layer takes {first.in_channels} channels; give as many, or an encoder of "
                f"{found.shape[1]}, such as `encoders.small_conv(channels={found.shape[1]})`"
            )
        if offers(encoder, HasRecipe) and encoder.recipe and encoder.recipe[0] == "adapt.encoders.small_conv":
            return (
                "small_conv takes images of 25 to 32 pixels; resize them in the dataset, "
                "`torchvision.transforms.Resize((32, 32))`"
            )
    return ""
