"""Encoders say what they give, and any module can be one."""

import pytest
import torch
from torch import nn

from adapt import encoders, inductive


def test_wrap_reads_the_dim_and_keeps_modes_and_statistics():
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    body[1].eval()
    encoder = encoders.wrap(body, example=torch.randn(2, 1, 5, 5))
    assert encoder.dim == 36 and list(encoder.layers) == ["0", "1"]
    assert body[0].training and not body[1].training and body[1].num_batches_tracked == 0
    assert encoders.wrap(body, 36, layers=["0"]).layers["0"] is body[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: encoders.wrap(nn.Flatten()), "`dim` is not known"),
        (lambda: encoders.wrap(nn.Flatten(), 0), "`dim` must be a whole number of at least 1, got 0"),
        (lambda: encoders.wrap(nn.Conv2d(1, 4, 3), example=torch.zeros(2, 1, 5, 5)), r"\(n, dim\) features"),
        (lambda: encoders.wrap(nn.Flatten(), 3, layers=["conv9"]), "names `conv9`"),
        (lambda: encoders.cifar_resnet(21), r"6 n \+ 2"),
    ],
)
def test_bad_encoders(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_encoder_shows_its_settings():
    shown = repr(encoders.wrap(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), 2))
    assert "dim=2, layers=[0, 2]" in shown and "kept_in_eval" not in shown
    encoder = inductive.strategy(encoders.cifar_resnet(8), 1)
    assert "dim=64, layers=[conv1, layer1, layer2, layer3], kept_in_eval=" in repr(encoder)
