"""Outputs of named layers: kept or reduced at once, the pass ended early, the hooks removed in any case."""

import pytest
import torch
from torch import nn

from adapt import encoders


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + 1


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True), Counting())
    return net, dict(net.named_children())


def hooks(net):
    return sum(len(m._forward_hooks) for m in net.modules())


def test_outputs_are_those_of_the_layers():
    net, layers = network()
    x = torch.randn(5, 2)
    with encoders.layer_outputs(layers) as outputs:
        y = net(x)
        assert hooks(net) == 3
    assert list(outputs) == ["0", "1", "2"] and outputs["2"] is y and hooks(net) == 0
    with encoders.layer_outputs(layers, []) as outputs:
        net(x)
        assert hooks(net) == 0
    assert outputs == {}


def test_keep_runs_before_a_later_layer_writes_over_the_output():
    net, layers = network()
    x = torch.randn(5, 2)
    with encoders.layer_outputs(layers, ["0"], keep=lambda name, output: (name, output.detach().clone())) as copies:
        net(x)
    torch.testing.assert_close(copies["0"][1], net[0](x).detach())
    assert copies["0"][0] == "0" and (copies["0"][1] < 0).any(), "before the ReLU"


def test_the_pass_ends_when_all_watched_layers_are_done():
    net, layers = network()
    with encoders.layer_outputs(layers, ["0", "1"], stop=True) as outputs:
        net(torch.randn(5, 2))
        raise AssertionError("the pass went on")
    assert list(outputs) == ["0", "1"] and net[2].calls == 0 and hooks(net) == 0


def test_only_the_block_that_asked_for_it_ends():
    net, layers = network()
    with encoders.layer_outputs(layers, ["0"], stop=True) as outer:
        with encoders.layer_outputs(layers, ["0", "2"], stop=True) as inner:
            net(torch.randn(5, 2))
        raise AssertionError("the outer block went on")
    assert list(outer) == ["0"] and "2" not in inner and hooks(net) == 0


def test_hooks_go_after_an_error():
    net, layers = network()
    with pytest.raises(RuntimeError), encoders.layer_outputs(layers):
        net(torch.randn(5, 7))
    assert hooks(net) == 0
    with pytest.raises(ValueError, match=r"layer `9` was asked for, and the encoder has \['0', '1', '2'\]"):
        with encoders.layer_outputs(layers, ["0", "9"]):
            pass
    assert hooks(net) == 0
