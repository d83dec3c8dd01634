"""A small convolutional network for images of 28 to 32 pixels."""

from torch import nn

from adapt.encoders.encoder import Encoder


def small_conv(channels: int = 3, *, dim: int = 128, width: int = 32) -> Encoder:
    """Three convolutions and a linear layer, without weights; for digits and the like.

    Each convolution halves the image and is followed by instance normalisation, which removes contrast and brightness
    of each picture and, other than batch normalisation, does not mix the statistics of domains that share a batch.

    Args:
        channels: of the input images ``(n, channels, h, w)``, h and w from 25 to 32.
        dim: feature size.
        width: channels of the first convolution; the next two have twice and four times as many.
    """
    w = width
    body = nn.Sequential()
    for name, before, after, kernel in (("conv1", channels, w, 5), ("conv2", w, 2 * w, 3), ("conv3", 2 * w, 4 * w, 3)):
        body.add_module(
            name,
            nn.Sequential(
                nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.InstanceNorm2d(after, affine=True),
                nn.ReLU(),
            ),
        )
    body.add_module("pool", nn.Flatten())
    body.add_module("features", nn.Sequential(nn.Linear(4 * w * 16, dim), nn.ReLU()))
    return Encoder(body, dim)
