"""From a pyramid of maps to one fine map: what heads of pixels and of boxes share."""

import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.protocols import HasDim, HasDims, dim_of, offers
from losses.options import COUNT, check

INPUT = "input"  # the images in a pyramid: see adapt.encoders.pyramid


class Decoder(nn.Module):
    r"""The top-down path of a feature pyramid: each step doubles the size and adds the map of the encoder.

    .. math:: x_1 = B_1(A_1 f_1), \qquad x_k = B_k(\mathrm{up}(x_{k-1}) + A_k f_k)

    with :math:`f_1, f_2, \dots` the maps from coarse to fine, :math:`A_k` convolutions of one pixel, :math:`B_k`
    convolutions of three pixels with GroupNorm and ReLU, and "up" bilinear to the size of :math:`f_k`. GroupNorm sees
    each image alone: small batches and several ranks change nothing.

    Args:
        encoder: an encoder with a pyramid or with a map; the channels of a map; or the channels of each map by name.
        channels: of every x.

    Attributes:
        dims: the channels of each map by name, from coarse to fine; a number for a single map.

    Lin et al., Feature Pyramid Networks for Object Detection, 2017, https://arxiv.org/abs/1612.03144
    """

    def __init__(self, encoder: HasDim | int | Mapping[str, int], channels: int):
        super().__init__()
        check(COUNT, channels=channels)
        self.channels, self.dims = int(channels), levels_of(encoder)
        sizes = self.dims.values() if isinstance(self.dims, dict) else [self.dims]
        self.across = nn.ModuleList([nn.Conv2d(size, self.channels, 1) for size in sizes])
        self.smooth = nn.ModuleList([smooth(self.channels) for _ in sizes])

    def forward(self, features: Any) -> Tensor:
        maps = self.maps(features)
        x = self.smooth[0](self.across[0](maps[0]))
        for across, smooth, finer in zip(self.across[1:], self.smooth[1:], maps[1:], strict=True):
            x = smooth(resized(x, finer.shape[-2:]) + across(finer))
        return x

    def maps(self, features: Any) -> list[Tensor]:
        """Return the maps from coarse to fine.

        Raises:
            ValueError: features that are not the pyramid or the map that the decoder was made for.
        """
        if isinstance(self.dims, dict):
            if not isinstance(features, Mapping) or not self.dims.keys() <= features.keys():
                found = sorted(features) if isinstance(features, Mapping) else tuple(features.shape)
                raise ValueError(
                    f"`features` must be a pyramid with the maps {list(self.dims)}, got {found}: make the head with "
                    "the encoder of the run."
                )
            found, sizes = [features[name] for name in self.dims], list(self.dims.values())
        else:
            found, sizes = [features], [self.dims]
        for x, size in zip(found, sizes, strict=True):
            if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != size:
                shape = tuple(x.shape) if isinstance(x, Tensor) else f"a {type(x).__name__}"
                raise ValueError(
                    f"`features` must be maps (n, {size}, h, w), got {shape}: take `encoders.pyramid(encoder, "
                    'example=images)`, or `encoders.at_layer(..., output="map")`.'
                )
        return found


def levels_of(encoder: HasDim | int | Mapping[str, int]) -> dict[str, int] | int:
    """Return the channels of each map by name, or of a single map."""
    if isinstance(encoder, Mapping):
        if not encoder:
            raise ValueError("`encoder` must name at least one map and its channels, got an empty mapping.")
        return {str(name): dim_of(size, f"`encoder[{name!r}]`") for name, size in encoder.items()}
    if offers(encoder, HasDims) and encoder.dims is not None:
        return dict(encoder.dims)
    return dim_of(encoder)


def resized(x: Tensor, size: Any) -> Tensor:
    """Return a map ``(n, c, h, w)`` at another size, bilinear; the same map where the size fits."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def image_size(features: Any) -> tuple[int, int] | None:
    """Return height and width of the images of a pyramid; None where the features do not tell."""
    if not isinstance(features, Mapping) or INPUT not in features:
        return None
    height, width = features[INPUT].shape[-2:]
    return height, width


def smooth(channels: int) -> nn.Sequential:
    """Return a convolution of three pixels, GroupNorm and ReLU."""
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    groups = math.gcd(channels, channels // 2, 8)  # of two channels or more: a map of one place can be normalised
    return nn.Sequential(convolution, nn.GroupNorm(groups, channels), nn.ReLU(inplace=True))
