"""The tensors that training changes: saved alone, and interpolated with the start."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from adapt import encoders, inductive
from tests.adapt.encoders.adapted import Mlp, stir


def test_only_what_learns_is_saved(tmp_path):
    def made(seed):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        torch.manual_seed(0)
        net.load_state_dict(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).state_dict())
        encoder = encoders.wrap(net, 2)
        encoders.lora(encoder, 2)
        encoder.keep_in_eval(["1"])
        torch.manual_seed(seed)
        stir(encoder)
        return encoder

    first, second = made(1), made(2)
    with torch.no_grad():
        first.body[0].lora_B.add_(1)
    path = encoders.save_trainable_state(first, tmp_path / "adapters.safetensors")
    assert load_file(path).keys() == {f"body.{k}.lora_{part}" for k in (0, 2) for part in "AB"}
    x = torch.randn(5, 3)
    assert not torch.equal(first(x), second(x))
    encoders.load_trainable_state(second, path)
    assert torch.equal(first(x), second(x))
    encoders.lora(other := encoders.wrap(nn.Sequential(nn.Linear(3, 4)), 4), 2)
    with pytest.raises(ValueError, match="missing .*body.0.lora|of another shape|not expected"):
        encoders.load_trainable_state(other, path)
    with pytest.raises(ValueError, match="nothing to save"):
        encoders.save_trainable_state(other.requires_grad_(False), tmp_path / "x.safetensors")


def test_statistics_that_are_not_held_are_part_of_what_learns():
    encoder = encoders.wrap(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), 4)
    assert {"body.1.running_mean", "body.1.running_var"} < encoders.trainable_state(encoder).keys()
    encoder.keep_in_eval(["1"])
    assert not [name for name in encoders.trainable_state(encoder) if "running" in name]


def test_interpolation_ends_at_both_networks():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    start = copy.deepcopy(net.state_dict())
    net(torch.randn(4, 3))
    with torch.no_grad():
        net[0].weight.add_(1)
    end = net.state_dict()
    assert all(torch.equal(v, start[k]) for k, v in encoders.interpolate(start, end, 0.0).items() if "num" not in k)
    assert all(torch.equal(v, end[k]) for k, v in encoders.interpolate(start, end, 1.0).items())
    half = encoders.interpolate(start, end)
    torch.testing.assert_close(half["0.weight"], (start["0.weight"] + end["0.weight"]) / 2)
    net.load_state_dict(half)
    with pytest.raises(ValueError, match=r"`share` must be in \[0, 1\]"):
        encoders.interpolate(start, end, 2.0)
    with pytest.raises(ValueError, match="one architecture"):
        encoders.interpolate(start, {"0.weight": end["0.weight"]})
    with pytest.raises(ValueError, match="shares its memory"):  # a start that was not copied
        encoders.interpolate(end, end)


def test_an_encoder_adapted_by_peft_is_taken_as_it_is():
    peft = pytest.importorskip("peft", reason="the extra `lora`")
    encoder = encoders.wrap(Mlp(), 5)
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["first", "second"]), encoder.body)
    inductive.strategy(encoder, "adapters")
    assert len(learned := encoders.trainable_state(encoder)) == 4 and all("lora_" in name for name in learned)
