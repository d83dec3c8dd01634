"""A small convolutional model and batches, for the tests of test time."""

import torch
from torch import nn

import adapt
from adapt import encoders, heads

CLASSES, SIDE = 4, 6


def body(norm=nn.BatchNorm2d):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), norm(6), nn.ReLU(), nn.Conv2d(6, 8, 3), norm(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip


def model(norm=nn.BatchNorm2d, layers=None, **options):
    torch.manual_seed(0)
    network = body(norm)
    encoder = encoders.Encoder(network, 8, layers=layers)
    head = heads.Classifier(8, CLASSES)
    with torch.no_grad():
        head.linear.weight.mul_(20)  # some rows are sure, some are not
        for layer in network:
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.05, 0.3)
            if getattr(layer, "weight", None) is not None and layer.weight.ndim == 1:  # a layer that normalises
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.2)
    return adapt.Model(encoder, head, **options)


def batch(rows, seed=0, shift=0.5):
    return torch.randn(rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 1.5 + shift
