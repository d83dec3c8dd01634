"""An encoder that ends at an inner layer."""

import pytest
import torch
from torch import nn

from adapt import encoders, inductive
from tests.adapt.encoders.tiny import bert, tokens


def test_an_encoder_that_ends_at_an_inner_layer():
    encoder, x = encoders.cifar_resnet(8).eval(), torch.randn(2, 3, 32, 32)
    body = encoder.body
    with torch.no_grad():
        inner = body.layer1(torch.relu(body.bn1(body.conv1(x))))
        ends = {
            level: encoders.at_layer(encoder, "layer1", example=x, output=level)
            for level in ("pooled", "map", "tokens")
        }
        assert {end.dim for end in ends.values()} == {16} and list(ends["map"].layers) == [
            "whole.conv1",
            "whole.layer1",
        ]
        torch.testing.assert_close(ends["map"](x), inner)
        torch.testing.assert_close(ends["pooled"](x), inner.mean((2, 3)))
        torch.testing.assert_close(ends["tokens"](x)[:, 5], inner[:, :, 0, 5])
    assert not body.layer1._forward_hooks
    last = encoders.at_layer(inductive.strategy(encoder, 1), "layer3", example=x)
    last(x).sum().backward()
    assert body.layer3[0].conv1.weight.grad is not None and "whole.layer1" in last.kept_in_eval
    text = encoders.at_layer(
        encoders.from_transformers(bert()), "model.encoder.layer.0", example=tokens(), output="tokens"
    )
    assert text(tokens()).shape == (4, 7, 16)
    for options, message in (({"layer": "layer9"}, "must be one of"), ({"output": "pyramid"}, "`output` must be")):
        with pytest.raises(ValueError, match=message):
            encoders.at_layer(encoder, **{"layer": "layer1", "example": x} | options)
    with pytest.raises(ValueError, match="has no output `map`"):
        encoders.at_layer(
            encoders.wrap(nn.Sequential(nn.Linear(3, 4)), 4), "0", example=torch.zeros(2, 3), output="map"
        )


@pytest.mark.parametrize("learn", ["full", "bias", 1, ["whole.layer1"]])
def test_layers_that_are_not_computed_do_not_learn(learn):
    encoder, x = encoders.cifar_resnet(8), torch.randn(2, 3, 32, 32)
    part = inductive.strategy(encoders.at_layer(encoder, "layer1", example=x), learn, batch_norm="follow")
    part(x).square().sum().backward()
    learning = {name for name, p in part.named_parameters() if p.requires_grad}
    assert learning == {name for name, p in part.named_parameters() if p.grad is not None}
    assert any("layer1" in name for name in learning) and ("body.whole.conv1.weight" in learning) == (learn == "full")


def test_a_layer_around_the_last_layer_keeps_it_learning():
    body = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)), nn.Linear(4, 4))
    encoder = encoders.wrap(body, 4, layers=["0.0", "0", "1"])
    part = inductive.strategy(encoders.at_layer(encoder, "0.0", example=torch.zeros(2, 3)), "full")
    learning = {name for name, p in part.named_parameters() if p.requires_grad}
    assert learning == {"body.whole.0.0.weight", "body.whole.0.0.bias"}


def test_a_plain_module_is_refused():
    for call in (lambda m: encoders.at_layer(m, "0", example=torch.zeros(1, 3)), lambda m: encoders.split_at(m, "0")):
        with pytest.raises(TypeError, match="must be an encoders.Encoder, got a Sequential: wrap the module"):
            call(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
