"""LoRA against its formula and against peft; merged and restored."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adapt import encoders
from tests.adapt.encoders.adapted import Mlp, convolutions, stir, weight_of


@pytest.mark.parametrize(("stabilized", "scale"), [(True, 6 / 4**0.5), (False, 6 / 4)])
def test_lora_adds_its_low_rank_product_to_the_weight(stabilized, scale):
    net, x = convolutions().double(), torch.randn(2, 3, 12, 12, dtype=torch.float64)
    plain, before = copy.deepcopy(net), net(x)
    assert encoders.lora(net, 4, alpha=6, rank_stabilized=stabilized) == ["0", "3"]
    assert torch.equal(net(x), before), "nothing changes before training"
    stir(net)
    with torch.no_grad():
        for number in (0, 3):
            plain[number].weight += scale * weight_of(net[number])
    torch.testing.assert_close(net(x), plain(x), rtol=1e-12, atol=1e-12)
    assert [n for n, p in net.named_parameters() if p.requires_grad] == [
        "0.lora_A", "0.lora_B", "3.lora_A", "3.lora_B"
    ]  # fmt: skip
    assert set(plain.state_dict()) < set(net.state_dict()), "pretrained weights still fit"


def test_tied_weights_are_not_merged():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False), nn.Linear(5, 5))
    net[1].weight = net[0].weight
    encoders.lora(net, 2)
    stir(net)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"\['1'\] are tied"):
        encoders.merge(net)
    assert all(torch.equal(before[name], w) for name, w in net.state_dict().items())
    twice = nn.ModuleList([net[2], net[2]])  # one layer in two places is no tie
    encoders.merge(twice)
    assert not torch.equal(net[2].weight, before["2.weight"])


def test_merged_equals_unmerged_and_goes_back_to_the_bit():
    net, x = convolutions(), torch.randn(2, 3, 12, 12)
    encoders.lora(net, 2)
    stir(net)
    weights, out = copy.deepcopy(net.state_dict()), net(x)
    encoders.merge(net)
    encoders.merge(net)  # once is enough
    assert not torch.equal(net[3].weight, weights["3.weight"])
    torch.testing.assert_close(net(x), out, rtol=1e-5, atol=1e-5)
    plain = convolutions()
    encoders.load_weights(plain, {k: v for k, v in net.state_dict().items() if "lora_" not in k})
    torch.testing.assert_close(plain(x), out, rtol=1e-5, atol=1e-5)
    encoders.unmerge(net)
    encoders.unmerge(net)
    assert all(torch.equal(v, weights[k]) for k, v in net.state_dict().items()) and torch.equal(net(x), out)


def test_lora_dropout_acts_in_training_only():
    net, x = nn.Linear(50, 3), torch.randn(2, 50)
    encoders.lora(nn.Sequential(net), 2, dropout=0.5)
    stir(net)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_lora_on_attention_reaches_the_input_projection_in_every_path():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    plain, x = copy.deepcopy(block), torch.randn(2, 3, 8)
    assert encoders.lora(block, 2, alpha=3, rank_stabilized=False) == ["self_attn", "linear1", "linear2"]
    stir(block)
    low = {n: p for n, p in block.named_parameters() if "lora_" in n}
    with torch.no_grad():
        part = "parametrizations.{}.0.lora_{}"
        for layer, name in (("self_attn.", "in_proj_weight"), ("self_attn.out_proj.", "weight")):
            A, B = (low[layer + part.format(name, k)] for k in "AB")
            getattr(plain.get_submodule(layer[:-1]), name).add_(1.5 * B @ A)
        for name in ("linear1", "linear2"):
            getattr(plain, name).weight.add_(1.5 * weight_of(getattr(block, name)).float())
    torch.testing.assert_close(block(x), plain(x), rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # torch's fast path reads weights without calling the layers
        torch.testing.assert_close(block.eval()(x), plain.eval()(x), rtol=1e-5, atol=1e-5)
    assert encoders.trainable_state(block).keys() == low.keys()


def test_a_copy_of_an_adapted_module_is_its_own():
    net = nn.Sequential(nn.Linear(4, 4))
    encoders.lora(net, 2)
    other = copy.deepcopy(net)
    stir(other)
    x = torch.randn(3, 4)
    assert torch.equal(net(x), F.linear(x, net[0].weight, net[0].bias)) and not torch.equal(other(x), net(x))


def test_lora_in_bfloat16():
    net = nn.Sequential(nn.Linear(4, 4))
    encoders.lora(net, 2)
    stir(net)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(torch.randn(3, 4))
    assert out.dtype == torch.bfloat16
    net = nn.Sequential(nn.Linear(4, 4)).bfloat16()
    encoders.lora(net, 2)
    assert net(torch.randn(3, 4).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "`rank` must be .*at least 1"),
        ({"alpha": 0.0}, "`alpha` must be a positive number, got 0.0"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\), got 1.0"),
        ({"only": ["fc9"]}, "fits none of the layers"),
        ({"only": "0"}, "sequence of names"),
        ({"only": ["1"]}, "grouped convolution"),
    ],
)
def test_bad_adapters(options, message):
    with pytest.raises(ValueError, match=message):
        encoders.lora(convolutions(), **options)


def test_adapters_of_attention_show_their_settings():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoders.lora(block, 2, alpha=3, rank_stabilized=False)
    assert "LowRankUpdate(rank=2, scale=1.5)" in repr(block)


def test_adapters_are_made_once_and_somewhere():
    net = convolutions()
    encoders.lora(net, only=["3"])
    with pytest.raises(ValueError, match="adapters already"):
        encoders.lora(net)
    with pytest.raises(ValueError, match="to adapt"):
        encoders.lora(nn.Sequential(nn.ReLU()))
    encoders.ia3(net := convolutions())
    with pytest.raises(ValueError, match="factors already"):
        encoders.ia3(net)
    with pytest.raises(ValueError, match="choose one"):
        encoders.ia3(convolutions(), ["3"], inputs=["3"])


@pytest.mark.parametrize("stabilized", [True, False])
def test_lora_gives_what_peft_gives(stabilized):
    peft = pytest.importorskip("peft", reason="the extra `lora`")
    torch.manual_seed(0)
    ours, x = Mlp(), torch.randn(4, 6)
    config = peft.LoraConfig(
        r=4, lora_alpha=12, use_rslora=stabilized, target_modules=["first", "conv", "second"], lora_dropout=0.0
    )
    theirs = peft.inject_adapter_in_model(config, copy.deepcopy(ours))
    encoders.lora(ours, 4, alpha=12, rank_stabilized=stabilized)
    stir(ours)
    with torch.no_grad():
        for name in ("first", "conv", "second"):
            for part in "AB":
                getattr(getattr(theirs, name), f"lora_{part}")["default"].weight.copy_(
                    getattr(getattr(ours, name), f"lora_{part}")
                )
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
