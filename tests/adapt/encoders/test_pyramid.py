"""The maps of several layers as features."""

import pytest
import torch
from torch import nn

from adapt import encoders

X = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def test_the_last_layer_of_each_size_is_taken():
    encoder = encoders.mobilenet(0.125).eval()
    found = encoders.pyramid(encoder, example=X)
    assert list(found.dims.items()) == [
        ("block13", 128),
        ("block11", 64),
        ("block5", 32),
        ("block3", 16),
        ("block1", 8),
    ]
    assert found.dim == 128 and list(found.layers) == [f"whole.{name}" for name in encoder.layers]
    maps = found(X)
    assert [tuple(m.shape[1:]) for m in maps.values()] == [
        (128, 2, 3), (64, 4, 6), (32, 8, 12), (16, 16, 24), (8, 32, 48), (3, 64, 96),
    ]  # fmt: skip
    assert list(maps)[-1] == "input" and maps["input"] is X
    with encoders.layer_outputs(encoder.layers) as outputs:
        encoder(X)
    assert all(torch.equal(maps[name], outputs[name]) for name in found.dims)
    assert torch.equal(maps["block13"].mean((2, 3)), encoder(X))


def test_named_layers_and_later_layers_that_are_not_computed():
    encoder = encoders.load("resnet18").train()
    found = encoders.pyramid(encoder, ["layer1", "layer3"], example=X)
    assert found.dims == {"layer3": 256, "layer1": 64} and found.training and encoder.training
    reached = []
    encoder.body.layer4.register_forward_hook(lambda *_: reached.append(1))
    found(X)
    assert not reached and found.parameters_of()["whole.layer1"][0] is encoder.body.layer1[0].conv1.weight
    assert list(found.layers)[-1] == "whole.layer3"
    for layers in (["layer3", "layer1"], ("layer1", "layer3")):
        assert encoders.pyramid(encoder, layers, example=X).dims == found.dims


def test_layers_in_evaluation_mode_stay_there():
    encoder = encoders.mobilenet(0.125)
    encoder.keep_in_eval(["block1"])
    found = encoders.pyramid(encoder, example=X).train()
    assert not encoder.body.block1.training and encoder.body.block2.training and "whole.block1" in found.kept_in_eval


@pytest.mark.parametrize("name", ["vgg11_bn", "efficientnet_b0", "convnext_tiny", "inception_v3"])
def test_families_of_torchvision(name):
    images = torch.zeros(1, 3, 96, 128)
    found = encoders.pyramid(encoders.load(name).eval(), example=images)
    sizes = [m.shape[2:] for m in found(images).values()]
    assert sizes == sorted(sizes) and len(found.dims) >= 4


FLAT = encoders.wrap(nn.Sequential(nn.Flatten(), nn.Linear(18432, 2)), 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encoders.pyramid(encoders.load("swin_t"), example=torch.zeros(1, 3, 64, 64)), "no layer.*map"),
        (
            lambda: encoders.pyramid(encoders.load("swin_t"), ["features.1"], example=torch.zeros(1, 3, 64, 64)),
            r"channels first, got \(1, 16, 16, 96\): name other `layers`",
        ),
        (lambda: encoders.pyramid(encoders.small_conv(), ["layer9"], example=X[:, :1]), "must be some of.*'layer9'"),
        (lambda: encoders.pyramid(encoders.mobilenet(0.1), [], example=X), "at least one layer"),
        (lambda: encoders.pyramid(encoders.mobilenet(0.1), ["conv1", "conv1"], example=X), "each layer once"),
        (lambda: encoders.pyramid(encoders.mobilenet(0.1), example=X[0]), r"images \(n, channels, h, w\), got \(3, 64"),
        (lambda: encoders.Encoder(nn.Identity(), 4, dims={}), "`dims` must be the channels of each map"),
        (lambda: encoders.Encoder(nn.Identity(), 4, dims={"a": 0}), "`dims` must be"),
        (lambda: encoders.Encoder(nn.Identity(), 4, dims=4), "`dims` must be"),
        (lambda: encoders.pyramid(encoders.mobilenet(0.1), example=[1]), "got list"),
        (
            lambda: encoders.pyramid(encoders.wrap(nn.Sequential(nn.Flatten(), nn.Linear(18432, 2)), 2), example=X),
            "no layer",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_module_is_refused():
    with pytest.raises(TypeError, match=r"encoders.wrap\(module, dim\)"):
        encoders.pyramid(nn.Conv2d(3, 4, 3), example=X)
