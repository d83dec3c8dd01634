"""The pretrained weights at hand give the numbers that are known of them, through our loaders."""

import os

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import datasets, encoders, inductive
from adapt.datasets import CIFAR10_CLASSES, data_file

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets"),
]


def images(split, rows):
    x, y = datasets.cifar10_jpg(split).tensors
    pick = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:rows]
    return x[pick], y[pick]


def test_a_cifar_network_answers_directly():
    x, y = images("test", 600)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    encoder = encoders.cifar_resnet(20, data_file("resnet_cifar10_weights/resnet20-12fca82f.th"))
    test = TensorDataset((x - mean) / deviation, y)
    score = inductive.transfer(encoder, None, "direct", classes=CIFAR10_CLASSES).evaluate(test)
    assert score.low < 0.825 < score.high, "81 to 84 %, JPEG being a shift"


def test_a_probe_on_mobilenet():
    def larger(x, y):
        return TensorDataset(nn.functional.interpolate(x, size=96, mode="bilinear", antialias=True) * 2 - 1, y)

    encoder = encoders.mobilenet(0.25, data_file("mobilenet025_imagenet/mobilenet025_224_notop.npz"))
    model = inductive.transfer(encoder, larger(*images("train", 700)), "probe", classes=10)
    assert model.evaluate(larger(*images("test", 300))).value > 0.5, "66 % from 4,000 labels"
