"""Rows 12 to 15: merged adapters, weights read without a call, computed weights, weights in shared memory."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import adapt
from adapt import Stream, Trainer, encoders, heads
from adapt.datasets import arrays
from tests.adapt.encoders.adapted import stir


def small():
    return encoders.wrap(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), 16)


def with_adapters():
    encoder = small()
    encoders.lora(encoder, 2)
    stir(encoder)
    return encoder


def test_row_12_the_state_of_a_merged_encoder_never_holds_adapters_twice(tmp_path):
    encoder, x = with_adapters(), torch.randn(5, 8)
    out, unmerged = encoder(x), copy.deepcopy(encoder.state_dict())
    encoders.merge(encoder)
    state = copy.deepcopy(encoder.state_dict())
    plain = small()
    plain.load_state_dict(state)  # strict: the names of the model without adapters
    torch.testing.assert_close(plain(x), out)
    fresh = small()
    encoders.lora(fresh, 2)
    with pytest.raises(RuntimeError, match="lora_A"):
        fresh.load_state_dict(state)
    fresh.load_state_dict(state, strict=False)  # new adapters are zero
    torch.testing.assert_close(fresh(x), out)
    with pytest.raises(ValueError, match=r"weights are loaded, .* merged .* `encoders.unmerge\(encoder\)` first"):
        encoder.load_state_dict(state)
    with pytest.raises(ValueError, match="already"):
        encoders.lora(encoder, 2)
    encoders.unmerge(encoder)
    encoder.load_state_dict(unmerged)
    assert torch.equal(encoder(x), out)


def test_row_12_a_merged_encoder_is_not_saved_by_a_trainer(tmp_path):
    encoder = with_adapters()
    head = heads.Classifier(encoder, 3)
    rows = arrays(torch.randn(16, 8), torch.arange(16) % 3)
    trainer = Trainer(
        encoder, [adapt.supervised(head, on="rows")], {"rows": Stream(rows, 8)}, device="cpu", progress=False
    )
    encoders.merge(encoder)
    with pytest.raises(ValueError, match="`encoders.unmerge"):
        trainer.save(tmp_path / "merged")
    assert not list(tmp_path.iterdir())
    encoders.unmerge(encoder)
    trainer.fit(1)
    trainer.save(tmp_path / "unmerged")


class Reads(nn.Module):
    """Reads the weight of a layer, in a method beside `forward`, as the attention of Swin, BEiT and EVA does."""

    def __init__(self):
        super().__init__()
        self.called, self.read = nn.Linear(8, 16), nn.Linear(16, 16)
        self.inner = nn.ModuleDict({"deep": nn.Linear(16, 16)})

    def project(self, x):
        return F.linear(x, self.read.weight, self.read.bias)

    def forward(self, x):
        return F.linear(self.project(F.relu(self.called(x.to(self.called.weight.dtype)))), self.inner.deep.weight)


def alive(module, x):
    """The names of adapters with a gradient; B is zero at first, so the gradient of A is zero for one step."""
    (module(x) * torch.randn(module(x).shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    return {n for n, p in module.named_parameters() if "lora_B" in n and p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("kind", ["own class", "swin_t", "swin_v2_t", "beit", "eva"])
def test_row_13_adapters_of_weights_that_are_read_without_a_call_learn(kind):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    if kind == "own class":
        module, x = Reads(), torch.randn(2, 8)
    elif kind.startswith("swin"):
        module = encoders.load(kind)
    else:
        pytest.importorskip("timm", reason="the extra `vision`")
        name = {"beit": "beit_base_patch16_224", "eva": "eva02_tiny_patch14_224"}[kind]
        small = {"img_size": 28, "patch_size": 14, "embed_dim": 24, "depth": 2, "num_heads": 2}
        module, x = encoders.from_timm(name, **small), torch.randn(2, 3, 28, 28)
    module, x = module.double().eval(), x.double()
    before = module(x)
    names = encoders.lora(module, 2)
    torch.testing.assert_close(module(x), before)
    assert len(alive(module, x)) == len(names)
    stir(module)
    out = module(x)
    assert not torch.allclose(out, before)
    encoders.merge(module)
    torch.testing.assert_close(module(x), out)
    encoders.unmerge(module)
    assert torch.equal(module(x), out)


def test_row_13_what_is_not_called_has_no_factors_and_no_adapters_of_tasks():
    assert encoders.ia3(Reads()) == ["called"]
    assert encoders.task_lora(Reads(), ["a", "b"]) == ["called"]
    for add in (
        lambda net: encoders.ia3(net, ["read"]),
        lambda net: encoders.ia3(net, ["called"], inputs=["deep"]),
        lambda net: encoders.task_lora(net, ["a"], only=["read"]),
    ):
        with pytest.raises(ValueError, match=r"is read without a call .* take `encoders.lora`"):
            add(Reads())


def layer_of_timm(kind, **options):
    layers = pytest.importorskip("timm.layers", reason="the extra `vision`")
    return getattr(layers, kind)(4, 6, 3, **options)


class Halved(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight / 2, self.bias)


COMPUTED = {
    "halved": lambda: Halved(4, 6),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(4, 6)),
    **{
        kind: lambda kind=kind, options=options: layer_of_timm(kind, **options)
        for kind, options in {
            "ScaledStdConv2d": {"padding": 1},
            "ScaledStdConv2dSame": {"stride": 2},
            "StdConv2d": {"padding": 1},
            "StdConv2dSame": {"stride": 2},
            "Conv2dSame": {"stride": 2},
        }.items()
    },
}


@pytest.mark.parametrize("kind", COMPUTED)
def test_row_14_a_computed_weight_has_the_update_inside(kind):
    torch.manual_seed(0)
    layer = COMPUTED[kind]()
    plain, module = copy.deepcopy(layer), nn.Sequential(layer)
    x = torch.randn(2, 4, 9, 9) if isinstance(layer, nn.Conv2d) else torch.randn(2, 4)
    before = module(x)
    assert encoders.lora(module, 2, alpha=3, rank_stabilized=False) == ["0"]
    torch.testing.assert_close(module(x), before)
    assert alive(module, x)
    stir(module)
    out, update = module(x), layer.parametrizations.weight[-1]
    change = 1.5 * (update.lora_B.flatten(1) @ update.lora_A.flatten(1)).detach().view_as(layer.weight)
    with torch.no_grad():
        if kind == "weight norm":
            weight, bias = plain.weight, plain.bias
            plain = nn.Linear(4, 6)
            plain.weight.copy_(weight)
            plain.bias.copy_(bias)
        plain.weight += change
    torch.testing.assert_close(out, plain(x), rtol=1e-4, atol=1e-5)
    encoders.merge(module)
    assert torch.equal(module(x), out)
    encoders.unmerge(module)
    assert torch.equal(module(x), out)
    with pytest.raises(ValueError, match="already"):
        encoders.lora(module, 2)


def test_row_14_a_weight_made_by_a_hook_is_not_merged():
    with pytest.warns(FutureWarning):
        layer = nn.utils.weight_norm(nn.Linear(4, 4))
    module, x = nn.Sequential(layer), torch.randn(3, 4)
    encoders.lora(module, 2)
    assert alive(module, x)
    with pytest.raises(ValueError, match="computed before each pass"):
        encoders.merge(module)


@pytest.mark.parametrize("tie", ["whole", "transposed", "a part", "a buffer"])
def test_row_15_weights_in_shared_memory_are_not_merged(tie):
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    first, second = net[0].weight.data, net[1].weight
    if tie == "a buffer":
        net[2].register_buffer("kept", first[1])
    else:
        second.data = {"whole": first, "transposed": first.t(), "a part": first[:3]}[tie]
    encoders.lora(net, 2, only=["0"])
    stir(net)
    x = torch.randn(3, 4)
    out, before = net[0](x), copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"\['0'\] are tied to other layers"):
        encoders.merge(net)
    assert torch.equal(net[0](x), out)
    assert all(torch.equal(before[name], w) for name, w in net.state_dict().items())


def test_row_15_parts_of_one_buffer_beside_each_other_are_merged():
    net, flat = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), torch.randn(32)
    net[0].weight.data, net[1].weight.data = flat[:16].view(4, 4), flat[16:].view(4, 4)
    encoders.lora(net, 2)
    stir(net)
    x = torch.randn(3, 4)
    out = net(x)
    encoders.merge(net)
    torch.testing.assert_close(net(x), out, rtol=1e-4, atol=1e-4)
    encoders.unmerge(net)
    assert torch.equal(net(x), out)
