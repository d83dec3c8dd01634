"""An encoder of images as an encoder of videos."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, encoders, heads
from adapt.streams import collate

X = torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(0))
LENGTHS = [4, 1, 3]


def image(norm=False):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(10, 6)] + ([nn.BatchNorm1d(6)] if norm else [])
    return encoders.wrap(nn.Sequential(*layers), 6)


class Last(nn.Module):
    """A pool with an order: the last frame, through a layer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, tokens, mask):
        return self.linear(tokens[torch.arange(len(tokens)), mask.sum(1) - 1])


def padded(x=X, lengths=LENGTHS):
    return collate.pad(value=9.0).inputs([video[:n] for video, n in zip(x, lengths, strict=True)])


def by_hand(encoder, x=X, lengths=LENGTHS):
    weight, bias = (p.detach().double() for p in encoder.body[1].parameters())
    found = []
    for video, n in zip(x.double(), lengths, strict=True):
        rows = [weight @ frame.flatten() + bias for frame in video[:n]]
        found.append(sum(rows) / n)
    return torch.stack(found)


def test_the_mean_is_over_the_frames_that_are_there():
    encoder = image()
    assert torch.allclose(encoders.frames(encoder)(X).double(), by_hand(encoder, lengths=[4] * 3), atol=1e-6)
    assert torch.allclose(encoders.frames(encoder)(padded()).double(), by_hand(encoder), atol=1e-6)
    assert torch.allclose(encoders.frames(encoder)(X.flip(1)), encoders.frames(encoder)(X), atol=1e-6)


def test_padding_is_not_computed_and_moves_no_statistics():
    encoder, once = image(norm=True), image(norm=True)
    encoders.frames(encoder).train()(padded())
    once.train()(torch.cat([video[:n] for video, n in zip(X, LENGTHS, strict=True)]))
    assert torch.equal(encoder.body[2].running_mean, once.body[2].running_mean)
    assert encoders.frames(encoder, pool="tokens")(padded())[1, 1:].eq(0).all()


def test_tokens_and_a_pool_of_your_own():
    encoder = image()
    tokens = encoders.frames(encoder, pool="tokens")
    assert torch.allclose(tokens(X)[2, 1], encoder(X[2, 1:2])[0], atol=1e-6)
    last = encoders.frames(encoder, pool=Last(), dim=3)
    assert list(last.layers) == ["encoder.body.1", "pool"] and last.dim == 3
    wanted = last.body.pool.linear(torch.stack([encoder(v[n - 1 : n])[0] for v, n in zip(X, LENGTHS, strict=True)]))
    assert torch.allclose(last(padded()), wanted, atol=1e-6)
    assert not torch.allclose(last(X.flip(1)), last(X))


def test_a_gru_reads_the_frames_in_order_and_no_padding():
    encoder = encoders.frames(image(), pool="gru", dim=8)
    gru, found = encoder.body.pool.gru, encoder(padded(lengths=[4, 1, 4]))
    for row, video, n in zip(found, X, [4, 1, 4], strict=True):
        states = gru(encoder.body.encoder(video[:n])[None])[0][0]
        assert torch.allclose(row, torch.cat([states.mean(0), states[-1]]), atol=1e-6)
    assert encoder.dim == 8 and list(encoder.layers) == ["encoder.body.1", "pool"]
    assert torch.allclose(encoder(padded(lengths=[1, 2, 1])), encoder(padded(lengths=[1, 2, 1]) | {"lengths": None}))
    assert not torch.allclose(encoder(X), encoder(X.flip(1)), atol=1e-3)
    assert torch.allclose(encoder(X), encoder({"values": X, "mask": torch.ones(3, 4)}), atol=1e-6)
    gaps = torch.tensor([[1, 0, 1, 0]] * 3)
    with pytest.raises(ValueError, match="without a gap"):
        encoder({"values": X, "mask": gaps})
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(padded()).isfinite().all()


def test_gradients_reach_the_frames_and_bf16_is_finite():
    encoder = image()
    encoders.frames(encoder)(padded()).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in encoder.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert encoders.frames(encoder)(padded()).isfinite().all()
        assert encoders.frames(encoder, pool="tokens")(padded()).isfinite().all()


def test_videos_of_unequal_length_train_and_a_saved_model_predicts(tmp_path):
    class Videos(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return X[i % 3, : LENGTHS[i % 3]], i % 2

    encoder = encoders.frames(image())
    head = heads.Classifier(encoder, 2)
    trainer = Trainer(
        encoder, adapt.supervised(head, "v"), {"v": Stream(Videos(), 3, collate=collate.pad())}, progress=False
    )
    before = encoder.body.encoder.body[1].weight.clone()
    trainer.fit(steps=2)
    assert not torch.equal(before, encoder.body.encoder.body[1].weight)
    model = Model(encodable(), heads.Classifier(6, 2))
    model.save(tmp_path / "model")
    rows = TensorDataset(torch.zeros(2, 3, 1, 28, 28))
    assert (Model.load(tmp_path / "model").probabilities(rows) == model.probabilities(rows)).all()


def encodable():
    return encoders.frames(encoders.small_conv(1, dim=6, width=2), pool="gru", dim=6)


def test_mode_and_layers_kept_in_eval_stay():
    encoder = image(norm=True).eval()
    encoder.keep_in_eval(["2"])
    found = encoders.frames(encoder)
    assert not found.training and not encoder.training
    assert not found.train().body.encoder.body[2].training


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 3), r"must be \(n, frames, ...\)"),
        (torch.zeros(2, 0, 2, 5), r"with a frame at least, got \(2, 0, 2, 5\)"),
        ({"values": X}, 'with "values" and "mask", got'),
        ({"values": X, "mask": torch.ones(3, 3)}, r"mask must be \(3, 4\)"),
        ({"values": X, "mask": torch.tensor([[1] * 4, [0] * 4, [1] * 4])}, "1 videos without a frame"),
    ],
)
def test_inputs_that_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        encoders.frames(image())(inputs)


def test_options_that_are_refused():
    with pytest.raises(ValueError, match="`pool` must be one of"):
        encoders.frames(image(), pool="max")
    with pytest.raises(ValueError, match="an even number, or of a module as `pool`"):
        encoders.frames(image(), pool=Last())
    for options in ({"dim": 3}, {"pool": "gru"}, {"pool": "gru", "dim": 3}):
        with pytest.raises(ValueError, match="`dim` must be the size of the features"):
            encoders.frames(image(), **options)
    with pytest.raises(TypeError, match="`encoder` must be an encoders.Encoder"):
        encoders.frames(nn.Linear(2, 2))
    maps = encoders.Encoder(nn.Conv2d(1, 2, 1), 2)
    with pytest.raises(ValueError, match=r"must return \(n, d\) features of frames"):
        encoders.frames(maps)(torch.zeros(2, 3, 1, 4, 4))
