"""An encoder in two parts."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, engine, heads, inductive


@pytest.mark.parametrize("after", ["conv1", "layer1", "layer2"])
def test_an_encoder_in_two(after):
    torch.manual_seed(0)
    encoder = encoders.cifar_resnet(8)
    inductive.strategy(encoder, list(encoder.layers)[list(encoder.layers).index(after) + 1 :])
    first, rest = encoders.split_at(encoder, after)
    x = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(rest.eval()(first(x)), encoder.eval()(x))
    assert list(rest.layers) == list(encoder.layers)[list(encoder.layers).index(after) + 1 :]
    # training the rest on kept features is training the encoder
    data = TensorDataset(x, torch.tensor([0, 1, 2, 0, 1, 2]))
    whole = copy.deepcopy(encoder)
    results = []
    for body, rows in ((whole, data), (rest, engine.features(first, data))):
        torch.manual_seed(1)
        head = heads.Classifier(64, 3)
        Trainer(
            body,
            [adapt.supervised(head, on="few")],
            {"few": Stream(rows, 6, shuffle=False)},
            progress=False,
            device="cpu",
        ).fit(steps=2)
        results.append(head.linear.weight)
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(encoder.state_dict().values(), encoders.cifar_resnet(8).state_dict().values(), strict=True)
    )
    torch.testing.assert_close(
        encoder.body.layer3[0].conv1.weight, whole.body.layer3[0].conv1.weight, rtol=1e-3, atol=1e-5
    )


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.two(self.one(x)) + x


class Branch(Skip):
    def forward(self, x):
        return self.two(self.one(x)) if x.sum() > 0 else x


class Functional(Skip):
    def forward(self, x):
        return self.two(nn.functional.dropout(self.one(x), 0.5, self.training))


class Halved(nn.Module):
    """As stochastic depth: a branch on the mode inside a module that is no layer."""

    def forward(self, x):
        return 0.5 * x if self.training else x


class Depth(Skip):
    def __init__(self):
        super().__init__()
        self.halved = Halved()

    def forward(self, x):
        return self.two(self.halved(self.one(x)))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (Skip, "passes by layer `one`"),
        (Branch, "cannot be traced"),
        (Functional, "dropout.* is another step in training"),
        (Depth, "is another step in training"),
    ],
)
def test_encoders_that_cannot_be_cut(body, message):
    with pytest.raises(ValueError, match=message):
        encoders.split_at(encoders.Encoder(body(), 3), "one")
    with pytest.raises(ValueError, match="a layer before the last"):
        encoders.split_at(encoders.Encoder(body(), 3), "two")


def test_a_part_outside_of_the_layers_keeps_its_mode_on_several_ranks():
    body = encoders.synchronize_batch_norm(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)))
    encoder, x = encoders.Encoder(body, 2, layers=["0", "2"]).eval(), torch.randn(5, 3)
    first, rest = encoders.split_at(encoder, "0")
    torch.testing.assert_close(rest(first(x)), encoder(x))
    rest.train()(first(x))
    assert body[1].num_batches_tracked == 1 and body[1].running_mean.abs().sum() > 0


def test_a_vision_transformer_of_timm_with_an_optional_mask():
    pytest.importorskip("timm", reason="the extra `vision`")
    encoder = encoders.from_timm("vit_tiny_patch16_224", img_size=32, embed_dim=24, depth=3, num_heads=2).eval()
    first, rest = encoders.split_at(encoder, "blocks.0")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(rest(first(x)), encoder(x)) and list(rest.layers) == ["blocks.1", "blocks.2", "norm"]
