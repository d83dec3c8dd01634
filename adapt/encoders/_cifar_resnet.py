"""Residual networks for 32-pixel images."""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from adapt.encoders.weights import copy_weights, linear_of, read_weights
from losses.options import check, is_whole

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar_resnet(depth: int = 20, weights: str | Path | None = None) -> Encoder:
    """Return a ResNet-20, 32, 44, 56 or 110 for ``(n, 3, 32, 32)`` images with 64 features.

    Shortcuts have no parameters (option A of the paper).

    Args:
        depth: 6 n + 2.
        weights: a file of akamaster/pytorch_resnet_cifar10, or another file with the same names. The classifier of the
            file is kept as ``encoder.head`` with the ten names of CIFAR-10. These weights expect inputs normalised with
            the mean (0.485, 0.456, 0.406) and the deviation (0.229, 0.224, 0.225).

    Raises:
        ValueError: another depth, or weights that do not fit.

    He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2, https://arxiv.org/abs/1512.03385
    """
    check(("6 n + 2 (20, 32, 44, 56, 110)", lambda v: is_whole(v, 8) and (v - 2) % 6 == 0), depth=depth)
    body, head = _CifarResNet((depth - 2) // 6), None
    if weights is not None:
        tensors = read_weights(weights)
        classifier = {n: tensors.pop(f"linear.{n}") for n in ("weight", "bias") if f"linear.{n}" in tensors}
        where = f"`{weights}`: "
        copy_weights(body, tensors, where)
        head = linear_of(classifier, 64, where) if classifier else None
    names = CLASSES if head is not None and head.out_features == 10 else None
    source = None if weights is None else str(weights)
    return Encoder(
        body, 64, layers=["conv1", "layer1", "layer2", "layer3"], head=head, classes=names, source=source,
        recipe=("adapt.encoders.cifar_resnet", {"depth": depth}),
    )  # fmt: skip


class _CifarResNet(nn.Module):
    def __init__(self, blocks: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(_Block(16, 16) for _ in range(blocks)))
        self.layer2 = nn.Sequential(*(_Block(16 if i == 0 else 32, 32) for i in range(blocks)))
        self.layer3 = nn.Sequential(*(_Block(32 if i == 0 else 64, 64) for i in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


class _Block(nn.Module):
    def __init__(self, before: int, after: int):
        super().__init__()
        self.stride = 1 if before == after else 2
        self.conv1 = nn.Conv2d(before, after, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:  # option A: every second pixel, new channels zero on both sides
            extra = (out.shape[1] - x.shape[1]) // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
        return F.relu(out + x)
