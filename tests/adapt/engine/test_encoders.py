"""Several encoders by name: each stream is read by the encoder that the stream names."""

from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Stream, Term, Trainer, domain, encoders, heads, multitask
from adapt.engine import Step
from adapt.streams import Batch
from tests.adapt.engine.tiny import weights
from tests.ranks import run_ranks

ROWS, STREAMS = 24, ["photo", "words", "other"]


def rows(size, seed):
    g = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(ROWS, size, dtype=torch.float64, generator=g), torch.arange(ROWS) % 3)


def blocks(*, norm=False):
    torch.manual_seed(0)
    bodies = [nn.Sequential(nn.Linear(d, 6), nn.BatchNorm1d(6) if norm else nn.Tanh(), nn.Linear(6, 4)) for d in (5, 7)]
    image, text = (encoders.wrap(body, 4).double() for body in bodies)
    return {"image": image, "text": text}, heads.Classifier(4, 3).double(), heads.Classifier(4, 3).double()


def streams():
    return {
        "photo": Stream(rows(5, 1), 8, encoder="image"),
        "words": Stream(rows(7, 2), 8, encoder="text", rows_of="photo"),
        "other": Stream(rows(5, 3), 4, encoder="image"),
    }


def captions(step):
    return losses.info_nce(step["photo"].features, step["words"].features, symmetric=True)


def make(*, norm=False, terms=(), **options):
    encoder, photo, words = blocks(norm=norm)
    every = [
        adapt.supervised(photo, on="photo"), adapt.supervised(photo, on="other"), adapt.supervised(words, on="words"),
        Term("captions", captions, streams=["photo", "words"]), *terms,
    ]  # fmt: skip
    sgd = lambda groups: torch.optim.SGD(groups, lr=0.1)  # noqa: E731
    made = Trainer(encoder, every, streams(), **{"optimizer": sgd, "progress": False, "device": "cpu"} | options)
    return made, photo, words


def test_equals_a_plain_loop():
    made, *_ = make()
    made.fit(5)
    encoder, photo, words = blocks()
    modules = nn.ModuleList([*encoder.values(), photo, words])
    optimizer = torch.optim.SGD(modules.parameters(), lr=0.1)
    batches = {name: s.batches(name, 0) for name, s in streams().items()}
    for _ in range(5):
        a, b, c = (next(batches[name]) for name in STREAMS)
        assert torch.equal(a.index, b.index)
        x, y, z = encoder["image"](a.inputs), encoder["text"](b.inputs), encoder["image"](c.inputs)
        loss = losses.info_nce(x, y, symmetric=True) + F.cross_entropy(words(y), b.labels)
        loss = loss + F.cross_entropy(photo(x), a.labels) + F.cross_entropy(photo(z), c.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, one in encoder.items():
        for key, value in one.state_dict().items():
            torch.testing.assert_close(made.encoder[name].state_dict()[key], value, rtol=1e-10, atol=1e-12)


def test_one_pass_for_each_encoder():
    encoder, *_ = blocks()
    inputs = zip(STREAMS, (5, 7, 5), strict=True)
    batches = {n: Batch(torch.randn(3, d).double(), None, torch.arange(3)) for n, d in inputs}
    of = dict(zip(STREAMS, [encoder["image"], encoder["text"], encoder["image"]], strict=True))
    step = Step(batches, of)
    for name in batches:
        torch.testing.assert_close(step[name].features, of[name](batches[name].inputs))
    assert [p.views for p in step.passes] == [("photo", "other"), ("words",)]
    same = {n: Batch(torch.randn(3, 5).double(), None, torch.arange(3)) for n in STREAMS}
    step = Step(same, of | {"words": encoders.wrap(nn.Linear(5, 4).double(), 4)})  # one shape, two encoders
    assert [step[name].features.shape for name in same] and len(step.passes) == 2
    assert step.encoder_of("photo", "other") is encoder["image"]
    with pytest.raises(ValueError, match="the streams `photo`, `words` must have one encoder"):
        step.encoder_of("photo", "words")


def test_evaluation_takes_the_encoder_of_the_stream():
    made, photo, words = make(ema=0.5)
    made.fit(3)
    image, text = (made.ema.module["encoder"][name] for name in ("image", "text"))
    for head, stream, data, encoder in ((photo, "photo", rows(5, 9), image), (words, "words", rows(7, 9), text)):
        found = made.predict(head, data, stream)
        torch.testing.assert_close(found.features, encoder(data.tensors[0]).detach())
        assert made.evaluate(head, data, stream).n == ROWS
    with pytest.raises(ValueError, match="`stream` must say which encoder reads the rows.*'image', 'text'"):
        made.predict(photo, rows(5, 9))
    with pytest.raises(KeyError, match="unknown stream `night`"):
        made.predict(photo, rows(5, 9), "night")
    with pytest.raises(ValueError, match="`stream` must say which encoder"):
        make(watch={"w": (heads.Classifier(4, 3), rows(5, 9))})
    encoder, photo, _ = blocks()
    only = {"photo": Stream(rows(5, 1), 8)}  # a single encoder needs no name
    alone = Trainer({"image": encoder["image"]}, [adapt.supervised(photo, "photo")], only, progress=False, device="cpu")
    assert alone.fit(1).evaluate(photo, rows(5, 9)).n == ROWS


def test_watched_resumed_and_averaged(tmp_path):
    def made(**options):
        encoder, photo, words = blocks(norm=True)
        terms = [adapt.supervised(photo, on="photo"), adapt.supervised(words, on="words"), Term("captions", captions)]
        watch = {"photo": (photo, rows(5, 9), "photo"), "words": (words, rows(7, 9), "words")}
        options = {"watch": watch, "save_every": 2, "ema": 0.5, "progress": False, "device": "cpu"} | options
        return Trainer(encoder, terms, streams(), **options)

    whole = made(log=tmp_path / "whole").fit(5)
    path = tmp_path / "whole" / "checkpoints" / "step-000000004"
    again = made().resume(path).fit(5)
    assert torch.equal(weights(whole), weights(again))
    assert torch.equal(*(t.ema.module["encoder"]["text"].body[0].weight for t in (whole, again)))


def test_learning_rates_by_encoder_and_by_layer():
    layers = {"0": 0.1, "1": 1.0, "2": lambda progress: 0.5}
    made, *_ = make(encoder_scale={"image": 0.5, "text": layers}, norm=True)
    groups = {g["name"]: g for g in made.updates[0].optimizer.param_groups}
    assert list(groups) == ["encoder.image", "encoder.text.0", "encoder.text.1", "encoder.text.2", "heads"]
    rates = [round(g["initial_lr"], 6) for g in groups.values()]
    assert rates == [0.05, 0.01, 0.1, 0.1, 0.1] and made.updates[0].scales[3](0.0) == 0.5
    assert [id(p) for p in groups["encoder.image"]["params"]] == [id(p) for p in made.encoder["image"].parameters()]
    one, *_ = make(encoder_scale=0.1)
    assert [g["name"] for g in one.updates[0].optimizer.param_groups] == ["encoder", "heads"]
    with pytest.raises(ValueError, match=r"must name the encoders \['image', 'text'\], got \['image'\]"):
        make(encoder_scale={"image": 0.5})


def test_a_term_reads_layers_of_the_encoder_of_its_stream():
    seen = []

    def layered(step):
        seen.append(step["photo"].layer("0").shape)
        return step["photo"].layer("0").square().mean() + 0 * step["words"].features.sum()

    encoder, photo, words = blocks()
    encoder["text"] = encoders.wrap(nn.Linear(7, 4), 4, layers=[]).double()
    term = Term("layer", layered, layers=["0"], streams=["photo", "words"])
    options = {"progress": False, "device": "cpu"}
    Trainer(encoder, [adapt.supervised(photo, "photo"), term], streams(), **options).fit(2)
    assert seen == [(8, 6)] * 2
    wrong = Term("wrong", lambda step: step["words"].layer("0").mean(), layers=["0"], streams=["photo", "words"])
    with pytest.raises(ValueError, match="layer `0` is no layer of the encoder of stream `words`"):
        Trainer(encoder, [wrong], streams(), **options).fit(1)
    with pytest.raises(ValueError, match=r"layer `0` was asked for by a term, and the encoder has none"):
        Trainer(encoder, [Term("no", captions, layers=["0"], streams=["words"])], streams(), **options)


class Noting(nn.Module):
    """Notes what is announced."""

    def __init__(self, size):
        super().__init__()
        self.linear, self.announced = nn.Linear(size, 4).double(), []

    def announce_rows(self, parts):
        self.announced.append(parts)

    def forward(self, x):
        return self.linear(x)


def test_rows_are_announced_to_the_encoder_that_asks():
    encoder, photo, _ = blocks()
    encoder["text"] = Noting(7)
    terms = [adapt.supervised(photo, "photo"), Term("captions", captions, streams=["photo", "words"])]
    Trainer(encoder, terms, streams(), progress=False, device="cpu").fit(1)
    assert encoder["text"].announced == [[("words", 8)]]


class Given(nn.Module):
    """A balance with given weights, and the Gramian of the last call."""

    at = "features"

    def forward(self, losses, gram=None):
        self.gram = gram
        return torch.tensor([0.25, 3.0], dtype=losses.dtype)


@pytest.mark.parametrize("at", ["features", "parameters"])
def test_tasks_are_balanced_at_the_features_of_all_encoders(at):
    """Task `both` reads both encoders, task `words` one of them."""

    def both(step):
        return captions(step) + F.cross_entropy(step.output(photo, "photo"), step["photo"].labels)

    encoder, photo, words = blocks()
    balance = Given()
    balance.at = at
    tasks = [Term("both", both, modules=[photo], task=True), multitask.task("words", words, on="words", scale=1)]
    made = Trainer(encoder, tasks, streams(), balance=balance, progress=False, device="cpu", optimizer=still)
    made.fit(1)
    plain, photo, words = blocks()
    a, b = (next(s.batches(n, 0)) for n, s in list(streams().items())[:2])
    x, y = plain["image"](a.inputs), plain["text"](b.inputs)
    one = losses.info_nce(x, y, symmetric=True) + F.cross_entropy(photo(x), a.labels)
    other = F.cross_entropy(words(y), b.labels)
    parameters = [p for e in plain.values() for p in e.parameters()]
    at_features = [x, y] if at == "features" else parameters
    rows = [torch.autograd.grad(v, at_features, retain_graph=True, allow_unused=True) for v in (one, other)]
    flat = [
        torch.cat([(torch.zeros_like(f) if g is None else g).flatten() for f, g in zip(at_features, row, strict=True)])
        for row in rows
    ]
    torch.testing.assert_close(balance.gram, torch.stack(flat) @ torch.stack(flat).T)
    found = torch.autograd.grad(0.25 * one + 3.0 * other, parameters)
    mine = [p for e in made.encoder.values() for p in e.parameters()]
    for p, gradient in zip(mine, found, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def still(groups):
    return torch.optim.SGD(groups, lr=0.0)


def on_a_rank(rank, world):
    made, photo, words = make(norm=True, terms=[domain.dan(source="photo", target="words", weight=0.1)])
    made.fit(4)
    return weights(made), str(made.evaluate(words, rows(7, 9), "words"))


def test_two_ranks_equal_one():
    first, second = run_ranks(on_a_rank, 2)
    whole, score = on_a_rank(0, 1)
    assert torch.equal(first[0], second[0]) and first[1] == second[1] == score
    torch.testing.assert_close(first[0], whole, rtol=1e-9, atol=1e-11)


def test_each_encoder_is_compiled():
    encoder, photo, _ = blocks()
    terms = [adapt.supervised(photo, "photo"), Term("captions", captions)]
    made = Trainer(encoder, terms, streams(), progress=False, device="cpu", compile={"backend": "eager"})
    assert all(e._compiled_call_impl is not None for e in made.encoder.values())
    made.fit(1)


def build(encoder, named):
    term = Term("t", lambda step: step["a"].features.mean())
    return Trainer(encoder, [term], {"a": Stream(rows(5, 1), 4, **named)}, progress=False, device="cpu")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "stream `a` must name one of the encoders 'image', 'text', got no encoder: `Stream"),
        ({"encoder": "sound"}, "must name one of the encoders 'image', 'text', got 'sound'"),
    ],
)
def test_a_stream_names_one_of_the_encoders(named, message):
    with pytest.raises(ValueError, match=message):
        build(blocks()[0], named)


def test_bad_encoders():
    image = blocks()[0]["image"]
    with pytest.raises(ValueError, match="names the encoder 'image', and `encoder` of this trainer is one encoder"):
        build(image, {"encoder": "image"})
    with pytest.raises(TypeError, match=r"`encoder\['image'\]` must be a torch module, got a str"):
        build({"image": "resnet"}, {})
    with pytest.raises(ValueError, match="encoder 'text' is read by no stream and would not be trained"):
        build(blocks()[0], {"encoder": "image"})
    assert list(build(nn.ModuleDict({"image": image}), {}).encoder) == ["image"]
    with pytest.raises(ValueError, match="`encoder` must hold at least one"):
        build({}, {})
    for name in ("a.b", "keys", ""):
        with pytest.raises(ValueError, match="cannot name an encoder"):
            build({name: image}, {})


def paired(**options):
    encoder, photo, _ = blocks()
    both = {"photo": Stream(rows(5, 1), 8, encoder="image"), "words": Stream(rows(7, 2), 8, encoder="text", **options)}
    return Trainer(encoder, [adapt.supervised(photo, "photo")], both, progress=False, device="cpu")


@pytest.mark.parametrize("options", [{"batch_size": 6}, {"last": "keep"}, {"sampling": torch.ones(ROWS)}])
def test_streams_with_the_same_rows_must_agree(options):
    encoder, photo, _ = blocks()
    words = Stream(rows(7, 2), **{"batch_size": 8} | options, encoder="text", rows_of="photo")
    both = {"photo": Stream(rows(5, 1), 8, encoder="image"), "words": words}
    with pytest.raises(ValueError, match="stream `words` reads the rows of stream `photo`, so both must have the same"):
        Trainer(encoder, [adapt.supervised(photo, "photo")], both, progress=False, device="cpu")


@pytest.mark.parametrize("other", ["night", "words"])
def test_rows_of_names_another_stream(other):
    with pytest.raises(ValueError, match=r"`rows_of` of stream `words` must name a stream .*name one of \['photo'\]"):
        paired(rows_of=other)


class Drawing(TensorDataset):
    """An item draws one number, and has it twice."""

    def __getitem__(self, index):
        drawn = torch.rand(1)
        return {"left": drawn, "right": drawn, "label": super().__getitem__(index)[1]}


@pytest.mark.parametrize("workers", [0, 2])
def test_both_streams_read_the_same_items_where_a_dataset_draws(workers):
    data = Drawing(*rows(5, 1).tensors)
    left = Stream(data, 8, input="left", label="label", workers=workers)
    right = Stream(data, 8, input="right", label="label", rows_of="left", workers=workers)
    shaken = Stream(data, 8, input="right", label="label", rows_of="left", augment=lambda x: torch.rand(1))
    both = left.batches("left", 0), right.batches("right", 0), shaken.batches("shaken", 0)
    for a, b, c in islice(zip(*both, strict=False), 4):
        assert torch.equal(a.inputs, b.inputs) and len(a.inputs.unique()) == 8
        assert torch.equal(a.index, c.index) and not torch.equal(a.inputs, c.inputs)
