"""Ranking the layers of an encoder."""

import pytest
import torch
from torch import nn

from adapt import encoders, ranking


def images(n=12, seed=0):
    return torch.randn(n, 3, 28, 28, generator=torch.Generator().manual_seed(seed))


def test_features_are_those_of_the_layers():
    encoder, x = encoders.small_conv().train(), images()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    found = ranking.layers.features(encoder, x, batch_size=5)
    assert all(torch.equal(before[name], buffer) for name, buffer in encoder.named_buffers())
    assert all(m.training for m in encoder.modules()) and not any(m._forward_hooks for m in encoder.modules())
    assert not any(m._forward_pre_hooks for m in encoder.modules())
    encoder.eval()
    with torch.no_grad():
        for name, layer in encoder.layers.items():
            x = layer(x)
            expected = x.mean((2, 3)) if x.ndim == 4 else x
            torch.testing.assert_close(found[name].features, expected)


def test_a_layer_whose_output_is_written_over_gives_what_it_gave():
    torch.manual_seed(0)  # both layers have negative outputs
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 26 * 26, 5), nn.ReLU(inplace=True)
    )
    encoder, x = encoders.wrap(body, 5, layers=["0", "3"]), images(4)
    found = ranking.layers.features(encoder, x)
    for name in encoder.layers:
        expected = encoders.at_layer(encoder, name, example=x[:1])(x).detach()
        torch.testing.assert_close(found[name].features, expected)
        assert (expected < 0).any()


def test_cost_repeats_at_least_once():
    with pytest.raises(ValueError, match="`repeats` must be a whole number"):
        ranking.cost(encoders.small_conv(), images(), repeats=0)


def test_costs_add_up_to_those_of_the_encoder():
    encoder = encoders.small_conv()
    costs = [c.cost for c in ranking.layers.features(encoder, images()).values()]
    whole = ranking.cost(encoder, images(), repeats=2)
    assert costs[-1].parameters == whole.parameters == sum(p.numel() for p in encoder.parameters())
    assert costs[-1].flops == whole.flops
    for before, after in zip(costs[:-1], costs[1:], strict=True):
        assert before.parameters < after.parameters and before.flops < after.flops
    conv = 2 * 3 * 16 * 25 * 14 * 14  # two operations, channels, kernel, places
    assert costs[0].flops == conv and whole.milliseconds > 0


def test_parameters_used_without_calling_their_module():
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    body = nn.Sequential(attention, nn.Flatten(), nn.Linear(24, 4))
    costs = ranking.layers.layer_costs(encoders.wrap(body, 4, layers=["0", "2"]), torch.randn(3, 3, 8), repeats=1)
    assert costs["0"].parameters == sum(p.numel() for p in attention.parameters())


class Forked(nn.Module):
    """The class is clear after `first`, gone after `second`."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(1, 1)
        nn.init.eye_(self.first.weight)
        with torch.no_grad():
            self.second.weight.copy_(torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])))

    def forward(self, x):
        return self.second(self.first(x))


def labelled(n=60):
    y = torch.arange(n) % 3
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    return x + 4 * torch.nn.functional.one_hot(y, 6), y


def test_the_layer_that_knows_the_classes_is_first():
    x, y = labelled()
    found = ranking.layers.rank(encoders.wrap(Forked(), 6, layers=["first", "second"]), x, y, halves=3)
    assert [row.name for row in found.rows] == ["first", "second"]
    assert found["first"].scores["knn"].value > 0.9 > found["second"].scores["knn"].value
    assert "GFLOP" in str(found) and found.figure("parameters").axes
    by_values = ranking.layers.rank(encoders.wrap(Forked(), 6, layers=["first", "second"]), x, values=x[:, 0], halves=0)
    assert by_values.best == "first"


def test_refusals():
    x, y = labelled()
    with pytest.raises(ValueError, match="does not reach `unused`"):
        ranking.layers.rank(encoders.wrap(Forked(), 6), x, y)
    with pytest.raises(ValueError, match="names no layers"):
        ranking.layers.rank(encoders.wrap(Forked(), 6, layers=[]), x, y)


def test_a_module_that_is_no_encoder():
    x, y = labelled()
    for call in (ranking.layers.rank, ranking.layers.features):
        with pytest.raises(TypeError, match=r"`encoder` must offer .*got a Forked without .*encoders\.wrap\("):
            call(Forked(), x, *([y] if call is ranking.layers.rank else []))
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        ranking.layers.rank(encoders.wrap(Forked(), 6, layers=["first"]), x, y, batch_size=0)


def test_pooled():
    x = torch.randn(2, 5, 3)
    assert torch.equal(ranking.layers.pooled((x, None)), x.mean(1))
    assert ranking.layers.pooled(torch.randn(2, 7, 3, 4)).shape == (2, 7)
    assert ranking.layers.pooled(torch.randn(2, 7)).shape == (2, 7)
