"""Residual networks for 32-pixel images."""

import pytest
import torch
from torch import nn

from adapt import encoders


def test_weights_with_a_classifier(tmp_path):
    torch.manual_seed(0)
    whole = encoders.cifar_resnet(8)
    classifier = nn.Linear(64, 10)
    tensors = whole.body.state_dict() | {f"linear.{n}": p for n, p in classifier.state_dict().items()}
    torch.save({"state_dict": {f"module.{n}": t for n, t in tensors.items()}}, tmp_path / "resnet.th")
    encoder, x = encoders.cifar_resnet(8, tmp_path / "resnet.th").eval(), torch.randn(2, 3, 32, 32)
    assert encoder.dim == 64 and encoder.classes[0] == "airplane" and encoder.source == str(tmp_path / "resnet.th")
    torch.testing.assert_close(encoder.head(encoder(x)), classifier(whole.eval()(x)))
    assert encoders.cifar_resnet(8).head is None and encoders.cifar_resnet(8).classes is None


def test_depths():
    with pytest.raises(ValueError, match=r"6 n \+ 2"):
        encoders.cifar_resnet(21)
    convolutions = [m for m in encoders.cifar_resnet(20).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 19, "and a linear layer"
