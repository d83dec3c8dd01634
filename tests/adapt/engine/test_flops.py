"""Operations against counts by hand, and operators without a count."""

import pytest
import torch
from torch import nn

import adapt
from adapt import Model, Trainer, ranking
from adapt.engine.flops import flops, parameters
from tests.adapt.engine.tiny import network, streams


class Ask(nn.Module):
    """Attention of queries over keys by torch's own function."""

    def __init__(self, dim, heads):
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), heads

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(found.transpose(1, 2).reshape(n, t, d))


def attention_by_hand(t, d):
    return 2 * t * d * 3 * d + 2 * t * t * d + 2 * t * t * d + 2 * t * d * d


@pytest.mark.parametrize(
    "module, shape, expected",
    [
        (nn.Linear(10, 20), (10,), 2 * 10 * 20),
        (nn.Linear(10, 20), (7, 10), 7 * 2 * 10 * 20),
        (nn.Conv1d(3, 5, 4, stride=2), (3, 20), 2 * 3 * 5 * 4 * 9),
        (nn.Conv2d(3, 8, 3, padding=1, stride=2), (3, 16, 16), 2 * 3 * 8 * 9 * 64),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 16, 16), 2 * 8 * 9 * 256),
        (nn.ConvTranspose2d(4, 6, 3), (4, 5, 5), 2 * 4 * 6 * 9 * 25),
        (nn.MultiheadAttention(16, 4, batch_first=True), (9, 16), attention_by_hand(9, 16)),
        (Ask(16, 4), (9, 16), attention_by_hand(9, 16)),
        (
            nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (9, 16),
            attention_by_hand(9, 16) + 2 * 2 * 9 * 16 * 32,
        ),
        (nn.LSTM(5, 7, batch_first=True), (9, 5), 9 * 2 * (5 + 7) * 4 * 7),
        (nn.GRU(5, 7, batch_first=True), (9, 5), 9 * 2 * (5 + 7) * 3 * 7),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else None,
)  # fmt: skip
def test_operations_by_hand(module, shape, expected):
    if isinstance(module, nn.MultiheadAttention):
        module = SelfAttention(module)
    found = flops(module, torch.randn(3, *shape))
    assert found.forward == pytest.approx(expected, rel=1e-9)
    assert found.not_counted == {}


class SelfAttention(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x, x, x)[0]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_training_counts_the_gradients_of_weights_and_of_inputs(groups):
    """Backward: as many as forward for the weights, and as many for the inputs of all layers but the first."""
    first, second = nn.Conv2d(4, 4, 3, padding=1, groups=groups), nn.Conv2d(4, 6, 3, stride=2, groups=2)
    one, two = 2 * 4 * 4 * 9 * 100 // groups, 2 * 4 * 6 * 9 * 16 // 2
    found = flops(nn.Sequential(first, nn.ReLU(), second), torch.randn(2, 4, 10, 10))
    assert found.forward == one + two
    assert found.training == 2 * one + 3 * two
    first.requires_grad_(False)
    assert flops(nn.Sequential(first, nn.ReLU(), second), torch.randn(2, 4, 10, 10)).training == one + 2 * two


def test_operators_without_a_count_are_listed_and_no_zero_is_printed():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs().sort()[0]

    assert flops(Spectrum(), torch.randn(2, 8)) == (None, None, {"_fft_r2c": 1, "sort": 1})
    found = flops(nn.Sequential(nn.Linear(8, 8), Spectrum()), torch.randn(2, 8))
    assert found.forward == 128 and found.not_counted["_fft_r2c"] == 1
    assert flops(nn.ReLU(), torch.randn(2, 8)) == (0, None, {})


def test_gradients_modes_and_switches_stay():
    layer = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    flops(layer, torch.randn(5, 4))
    assert layer.training and all(p.grad is None for p in layer.parameters())
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.backends.mkldnn.enabled and torch.backends.cudnn.enabled
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_model_counts_encoder_and_head_and_a_trainer_what_it_updates():
    encoder, head = network()
    model = Model(encoder, head)
    every = 6 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3
    assert parameters(model) == (every, every)
    assert flops(model, torch.randn(5, 6)).forward == 2 * (6 * 16 + 16 * 8 + 8 * 3)
    encoder.requires_grad_(False)
    trainer = Trainer(encoder, adapt.supervised(head, on="source"), {"source": streams()["source"]}, progress=False)
    assert parameters(trainer) == (8 * 3 + 3, every)
    assert ranking.cost(encoder, torch.randn(5, 6), repeats=1).flops == 2 * (6 * 16 + 16 * 8)


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 3)
    assert parameters(nn.Sequential(layer, layer)) == (12, 12)
