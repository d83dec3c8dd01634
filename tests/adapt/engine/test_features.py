"""Cached features: equal to the encoder's, never stale, never torn, and no encoder time afterwards."""

import json
import os
from functools import partial

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, engine, heads
from adapt.engine.fingerprint import fingerprint
from adapt.streams import Batch
from tests.adapt.engine.tiny import Items, cloud, jitter


class Seen:
    """No setting: a plain number would be one, and another number another cache."""

    rows = 0


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 4))
        self.seen = Seen()

    def forward(self, x):
        self.seen.rows += len(x)
        return self.net(x)


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("items", [False, True])
def test_features_are_the_encoders_in_evaluation_mode(tmp_path, folder, items):
    encoder, data = Counting(), cloud(20)
    found = engine.features(encoder, Items(data) if items else data, tmp_path if folder else None, batch_size=8)
    assert encoder.training and encoder.net[1].training
    with torch.no_grad():
        torch.testing.assert_close(found.tensors[0], encoder.eval()(data.tensors[0]), rtol=1e-5, atol=1e-6)
    assert torch.equal(found.tensors[1], data.tensors[1]) and not found.tensors[0].requires_grad
    bare = engine.features(encoder, TensorDataset(data.tensors[0]), tmp_path if folder else None)
    assert len(bare.tensors) == 1


def test_later_epochs_and_later_runs_ask_the_encoder_nothing(tmp_path):
    encoder, data = Counting(), cloud(24)
    for _ in range(3):
        kept = engine.features(encoder, data, tmp_path)
        head = heads.Classifier(4, 3)
        Trainer(
            nn.Identity(),
            [adapt.supervised(head, on="few")],
            {"few": Stream(kept, 12)},
            progress=False,
            device="cpu",
        ).fit(steps=10)
        assert encoder.seen.rows == 24
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_kept_is_mapped_and_safe_from_its_reader(tmp_path):
    encoder, data = Counting(), cloud(24)
    kept = engine.features(encoder, data, tmp_path)
    kept.tensors[0].zero_()
    again = engine.features(encoder, data, tmp_path)
    assert again.tensors[0].abs().sum() > 0 and encoder.seen.rows == 24


def changes():
    def weight(e, d):
        e.net[0].weight.data[0, 0] += 1e-6

    def statistic(e, d):
        e.net[1].running_mean[0] += 1e-3

    def setting(e, d):
        e.net[1].eps = 1e-3

    def structure(e, d):
        e.net[2] = nn.Tanh()

    def code(e, d):
        class Other(Counting):
            def forward(self, x):
                self.seen.rows += len(x)
                return -self.net(x)

        Other.__qualname__ = "Counting"
        e.__class__ = Other

    def one_input(e, d):
        d.tensors[0][3, 2] += 1e-6

    def one_label(e, d):
        d.tensors[1][3] = (d.tensors[1][3] + 1) % 3

    def adapter(e, d):
        e.lora = {"scale": 2.0}

    def private(e, d):
        e._scale = 2.0

    return [weight, statistic, setting, structure, code, one_input, one_label, adapter, private]


@pytest.mark.parametrize("change", changes(), ids=lambda c: c.__name__)
def test_anything_that_matters_makes_another_cache(tmp_path, change):
    encoder, data = Counting(), cloud(24)
    encoder.seen.rows = 0
    engine.features(encoder, data, tmp_path)
    change(encoder, data)
    encoder.seen.rows = 0
    found = engine.features(encoder, data, tmp_path)
    assert encoder.seen.rows == 24 and len(list(tmp_path.iterdir())) == 2
    fresh = engine.features(encoder, data)
    assert all(torch.equal(a, b) for a, b in zip(found.tensors, fresh.tensors, strict=True))


def mark(encoder):
    return fingerprint(encoder, ())


class Flexible(nn.Module):
    """Everything that the weights do not hold."""

    def __init__(self, act=torch.tanh, scale=(1.0, 2.0), factor=1.0, unsaved=0.0, hidden=1.0):
        super().__init__()
        self.act, self.scale = act, numpy.array(scale)
        self.close = lambda x: factor * x
        self.register_buffer("unsaved", torch.tensor(unsaved), persistent=False)
        self.hidden = [nn.PReLU(init=hidden)]

    def forward(self, x):
        return self.help(self.close(self.act(x)))

    def help(self, x):
        return x


class Helped(Flexible):
    def help(self, x):
        return -x


Helped.__qualname__ = "Flexible"


def scaled(factor):
    def act(x, *, by=factor):
        return by * x

    return act


def square(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2))
    if kind:
        encoders.ia3(net)
    if kind == "idle":  # the same factors, which nothing multiplies
        net[0]._forward_hooks.clear()
    return net


def shared(order):
    torch.manual_seed(0)
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    return nn.Sequential(*({"a": a, "b": b}[name] for name in order))


def test_the_fingerprint_sees_what_the_weights_do_not_hold():
    same = [Flexible(), Flexible(act=torch.tanh)]
    others = [
        Flexible(act=torch.relu), Flexible(act=scaled(1.0)), Flexible(act=scaled(2.0)), Flexible(scale=(1.0, 3.0)),
        Flexible(factor=2.0), Flexible(unsaved=1.0), Flexible(hidden=2.0), Helped(),
        Flexible(act=partial(torch.tanh, out=None)),
        *map(square, [None, "outputs", "idle"]), *map(shared, ["aba", "abb", "ab"]),
    ]  # fmt: skip
    assert mark(same[0]) == mark(same[1])
    marks = [mark(encoder) for encoder in (same[0], *others)]
    assert len(set(marks)) == len(marks)


class Scaler:
    def __init__(self, mean):
        self.mean, self.itself = torch.tensor(mean), self


class Scaled(nn.Module):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept


def quantised(layer, seed):
    torch.manual_seed(seed)
    made = {
        "linear": lambda: nn.Linear(8, 4), "lstm": lambda: nn.LSTM(8, 4), "gru": lambda: nn.GRU(8, 4),
        "conv": lambda: nn.Conv2d(3, 4, 3),
    }[layer]()  # fmt: skip
    if layer != "conv":
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(made), {type(made)}, dtype=torch.qint8)
    packed = torch.ao.nn.quantized.Conv2d(3, 4, 3)
    packed.set_weight_bias(torch.quantize_per_tensor(made.weight.detach(), 0.01, 0, torch.qint8), made.bias.detach())
    return nn.Sequential(packed)


def scripted(seed):
    torch.manual_seed(seed)
    return torch.jit.trace(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(1, 2))


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore:.*torch.ao")
@pytest.mark.parametrize(
    "make",
    [
        *(lambda seed, layer=layer: quantised(layer, seed) for layer in ("linear", "lstm", "gru", "conv")),
        scripted,
        lambda seed: Scaled(Scaler([1.0 + seed])),
        lambda seed: Scaled([{"inside": Scaler([1.0 + seed])}]),
    ],
)  # fmt: skip
def test_row_20_weights_inside_of_other_objects_make_another_cache(make):
    assert mark(make(0)) == mark(make(0)) != mark(make(1))


def test_rows_that_are_objects_count_by_their_tensors():
    def of(*means):
        return fingerprint(nn.Identity(), [Batch([Scaler([mean])], None, torch.arange(1)) for mean in means])

    assert of(1.0, 2.0) == of(1.0, 2.0) != of(1.0, 3.0)


def test_a_version_stands_for_the_data_and_spares_reading_them(tmp_path):
    class Reads(Items):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    encoder, data = Counting(), Reads(cloud(24))
    engine.features(encoder, data, tmp_path, version="1")
    encoder.seen.rows, data.reads = 0, 0
    engine.features(encoder, data, tmp_path, version="1")
    assert encoder.seen.rows == 0 and data.reads == 0
    engine.features(encoder, data, tmp_path, version="2")
    assert encoder.seen.rows == 24


def short(path):
    (path / "features.bin").write_bytes((path / "features.bin").read_bytes()[:-4])


def flipped(path):
    content = bytearray((path / "features.bin").read_bytes())
    content[7] ^= 1
    (path / "features.bin").write_bytes(content)


def no_labels(path):
    (path / "labels.pt").unlink()


def no_manifest(path):
    (path / "manifest.json").unlink()


def foreign(path):
    (path / "manifest.json").write_text(json.dumps({"format": "another"}))


def garbled(path):
    (path / "manifest.json").write_text("{")


@pytest.mark.parametrize("tear", [short, flipped, no_labels, no_manifest, foreign, garbled])
def test_a_torn_cache_is_made_again(tmp_path, tear):
    encoder, data = Counting(), cloud(24)
    whole = engine.features(encoder, data).tensors[0]
    engine.features(encoder, data, tmp_path)
    tear(next(tmp_path.iterdir()))
    encoder.seen.rows = 0
    with pytest.warns(UserWarning, match="is torn; it is made again"):
        found = engine.features(encoder, data, tmp_path)
    assert torch.equal(found.tensors[0], whole) and encoder.seen.rows == 24
    engine.features(encoder, data, tmp_path)
    assert encoder.seen.rows == 24


def test_a_killed_writer_leaves_nothing_that_is_used(tmp_path):
    encoder, data = Counting(), cloud(24)

    def die(*_):
        raise KeyboardInterrupt

    hook = encoder.net[3].register_forward_hook(lambda *_: die() if encoder.seen.rows > 8 else None)
    with pytest.raises(KeyboardInterrupt):
        engine.features(encoder, data, tmp_path, batch_size=8)
    hook.remove()
    assert not list(tmp_path.iterdir()) and encoder.training
    (tmp_path / ".tmp-1-features-0").mkdir()  # of a process that was killed outright
    assert len(engine.features(encoder, data, tmp_path)) == 24


def test_another_process_may_be_faster(tmp_path, monkeypatch):
    encoder, data = Counting(), cloud(24)
    rename = os.rename
    engine.features(encoder, data, tmp_path / "other")
    theirs = next((tmp_path / "other").iterdir())

    def late(self, target):
        rename(theirs, target)
        raise OSError("not empty")

    monkeypatch.setattr("pathlib.Path.rename", late)
    assert len(engine.features(encoder, data, tmp_path / "mine")) == 24
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_augmented_views_are_keyed(tmp_path):
    encoder, data = nn.Identity(), cloud(10)
    state = torch.get_rng_state()
    found = engine.features(encoder, data, augment=jitter, views=3, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    views = found.tensors[0].view(3, 10, 6)
    assert not torch.equal(views[0], views[1]) and torch.equal(found.tensors[1].view(3, 10)[2], data.tensors[1])
    assert ((views.mean(0) - data.tensors[0]).abs() < 0.5).all()
    again = engine.features(encoder, data, tmp_path, augment=jitter, views=3, seed=1, batch_size=3)
    assert torch.equal(again.tensors[0], found.tensors[0])
    assert not torch.equal(engine.features(encoder, data, augment=jitter, seed=2).tensors[0], views[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 2}, "`views` must be 1"),
        ({"views": 0}, "`views` must be .*at least 1"),
        ({"precision": "half"}, "`precision`"),
    ],
)
def test_bad_requests(options, message):
    with pytest.raises(ValueError, match=message):
        engine.features(nn.Identity(), cloud(3), **options)
    with pytest.raises(ValueError, match="is empty"):
        engine.features(nn.Identity(), TensorDataset(torch.zeros(0, 3)))


def test_half_precision_and_maps(tmp_path):
    encoder = encoders.wrap(nn.Conv2d(1, 2, 3), 2)
    data = TensorDataset(torch.randn(5, 1, 6, 6))
    half = engine.features(encoder, data, tmp_path, precision="bf16").tensors[0]
    whole = engine.features(encoder, data, tmp_path).tensors[0]
    assert half.dtype == torch.float32 and half.shape == whole.shape == (5, 2, 4, 4)
    torch.testing.assert_close(half, whole, rtol=0.05, atol=0.05)
    assert not torch.equal(half, whole)
