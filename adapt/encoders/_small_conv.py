"""A small convolutional network for images of 28 to 32 pixels."""

from torch import nn

from adapt.encoders.encoder import Encoder
from losses.options import COUNT, check


def small_conv(channels: int = 3, *, dim: int = 128, width: int = 16) -> Encoder:
    """Return three convolutions and a linear layer, without pretrained weights; for digits and similar images.

    Each convolution halves the image. Batch normalisation follows each convolution, with the statistics of all streams
    that share the pass of the encoder.

    Args:
        channels: of the input images ``(n, channels, h, w)``, h and w from 25 to 32.
        dim: feature size.
        width: channels of the first convolution; the next two have twice and four times as many.

    About 170,000 parameters at the defaults.

    Raises:
        ValueError: sizes below 1.
    """
    check(COUNT, channels=channels, dim=dim, width=width)
    sizes = (channels, width, 2 * width, 4 * width)
    body = nn.Sequential()
    for number, (before, after, kernel) in enumerate(zip(sizes[:-1], sizes[1:], (5, 3, 3), strict=True), start=1):
        convolution = nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False)
        body.add_module(f"conv{number}", nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU()))
    body.add_module("features", nn.Sequential(nn.Flatten(), nn.Linear(16 * sizes[-1], dim), nn.ReLU()))
    recipe = "adapt.encoders.small_conv", {"channels": channels, "dim": dim, "width": width}
    return Encoder(body, dim, recipe=recipe)
