"""LoRA and IA3 against their formulas and against peft; what is saved, merged and interpolated."""

import copy

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from adapt import encoders, inductive


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Flatten(),
        nn.Linear(4 * 16, 5),
    )


def stir(module):
    """Adapters as if trained."""
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if "lora_" in name or "ia3_" in name:
                p.copy_(torch.randn(p.shape, generator=g))


def weight_of(layer):
    """s B A by hand, in the shape of the weight."""
    A, B = layer.lora_A.double(), layer.lora_B.double()
    return torch.einsum("or,r...->o...", B.flatten(1), A)


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
        ({"rank": 0}, "`rank` must be at least 1"),
        ({"only": ["fc9"]}, "fits none of the layers"),
        ({"only": "0"}, "sequence of names"),
        ({"only": ["1"]}, "grouped convolution"),
    ],
)
def test_bad_adapters(options, message):
    with pytest.raises(ValueError, match=message):
        encoders.lora(convolutions(), **options)


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


def test_ia3_multiplies_outputs_or_inputs():
    net, x = convolutions(), torch.randn(2, 3, 12, 12)
    before, weights = net(x), copy.deepcopy(net.state_dict())
    assert set(encoders.ia3(net, inputs=["3"])) == {"0", "3"}
    assert torch.equal(net(x), before)
    stir(net)
    plain = convolutions()
    a, b = net[0].ia3_factor.detach(), net[3].ia3_factor.detach()
    plain.load_state_dict(
        {**weights, "0.weight": weights["0.weight"] * a[..., None], "0.bias": weights["0.bias"] * a.flatten(),
         "3.weight": weights["3.weight"] * b}
    )  # fmt: skip
    torch.testing.assert_close(net(x), plain(x), rtol=1e-5, atol=1e-5)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.conv, self.second = nn.Linear(6, 12), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 5)

    def forward(self, x):
        return self.second(self.conv(F.relu(self.first(x)).view(-1, 3, 2, 2)).flatten(1))


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


def test_ia3_gives_what_peft_gives():
    peft = pytest.importorskip("peft", reason="the extra `lora`")
    torch.manual_seed(0)
    ours, x = Mlp(), torch.randn(4, 6)
    config = peft.IA3Config(target_modules=["first", "second"], feedforward_modules=["second"])
    theirs = peft.inject_adapter_in_model(config, copy.deepcopy(ours))
    encoders.ia3(ours, ["first"], inputs=["second"])
    stir(ours)
    with torch.no_grad():
        for name in ("first", "second"):
            factor = getattr(theirs, name).ia3_l["default"]
            factor.copy_(getattr(ours, name).ia3_factor.view_as(factor))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


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
