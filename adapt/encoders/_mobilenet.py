"""MobileNet, the first version, with the weights of Keras."""

from collections import OrderedDict
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from adapt.encoders.weights import copy_weights, read_weights
from losses.options import check, is_number

CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def mobilenet(width: float = 1.0, weights: str | Path | None = None) -> Encoder:
    """Return a MobileNet v1 for ``(n, 3, h, w)`` images of any size from 32 pixels, with ``1024 * width`` features.

    Args:
        width: factor on all numbers of channels.
        weights: a file for :func:`read_weights` with the arrays of Keras by name (``conv_dw_1.depthwise_kernel``,
            ``conv_dw_1_bn.gamma``, ...) and with the axes of Keras, (h, w, in, out). A classifier in the file is not
            used. The weights expect RGB scaled to [-1, 1].

    Raises:
        ValueError: a width that gives no channel, or weights that do not fit, for example weights of another width.

    Howard et al., MobileNets, 2017, https://arxiv.org/abs/1704.04861
    """
    check(("a number of at least 1/32, which gives one channel", lambda v: is_number(v) and 32 * v >= 1), width=width)
    dim = int(1024 * width)
    first = int(32 * width)
    body = nn.Sequential(OrderedDict(conv1=_convolution(3, first, 3, 2)))
    before = first
    for number, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), start=1):
        after = int(channels * width)
        block = [_convolution(before, before, 3, stride, groups=before), _convolution(before, after, 1, 1)]
        body.add_module(f"block{number}", nn.Sequential(*block))
        before = after
    body.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    if weights is not None:
        arrays = read_weights(weights)
        try:
            tensors = _from_keras(arrays)
        except (IndexError, KeyError, ValueError, RuntimeError) as error:  # names or axes of another network
            raise ValueError(f"`{weights}` does not hold the arrays of MobileNet v1 of Keras: {error}.") from error
        copy_weights(body, tensors, f"`{weights}`: ")
    layers = ["conv1", *(f"block{n}" for n in range(1, 14))]
    return Encoder(body, dim, layers=layers, recipe=("adapt.encoders.mobilenet", {"width": width}))


class _Pad(nn.Module):
    """Padding of Keras: on all sides with stride 1, at the bottom and at the right with stride 2."""

    def __init__(self, stride: int):
        super().__init__()
        self.sides = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides)


def _convolution(before: int, after: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False),
        norm=nn.BatchNorm2d(after, eps=1e-3, momentum=0.01),
        act=nn.ReLU6(),
    )
    if kernel == 3:
        layers["pad"] = _Pad(stride)
        layers.move_to_end("pad", last=False)
    return nn.Sequential(layers)


def _from_keras(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays of Keras under the names and with the axes of torch.

    Kernels of Keras are (h, w, in, out), depthwise kernels (h, w, channels, 1).
    """
    parts = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    found = {}
    for name, array in arrays.items():
        layer, _, part = name.rpartition(".")
        pieces = layer.removesuffix("_bn").split("_")  # conv1, or conv dw 3
        if pieces[0] not in ("conv1", "conv"):
            continue
        where = "conv1" if pieces[0] == "conv1" else f"block{pieces[2]}.{('dw', 'pw').index(pieces[1])}"
        if layer.endswith("_bn"):
            found[f"{where}.norm.{parts[part]}"] = array
        elif part == "depthwise_kernel":
            found[f"{where}.conv.weight"] = array.permute(2, 3, 0, 1).contiguous()
        else:
            found[f"{where}.conv.weight"] = array.permute(3, 2, 0, 1).contiguous()
    return found
