"""Batches of every form train: with workers, on two ranks, and resumed bit for bit."""

import signal
import socket
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Stream, Term, Trainer, encoders, engine
from adapt.engine import Step
from adapt.streams import Batch, collate
from tests.adapt.engine.any_batch import FORMS, ROWS, Items, Net, image, make, rows_of, run, sound, words
from tests.adapt.engine.tiny import weights
from tests.programs import Program
from tests.ranks import run_ranks

ROOT = Path(__file__).parents[3]
# the encoder has a branch for each form of a batch, and a form takes one
pytestmark = pytest.mark.filterwarnings("ignore:.*reached by no term")


@pytest.mark.parametrize("name", FORMS)
def test_every_form_trains_with_workers_and_resumes_bit_for_bit(name, tmp_path):
    made, head = make(name)
    start = weights(made)
    whole = weights(made.fit(5))
    assert whole.isfinite().all() and not torch.equal(start, whole)
    made.evaluate(head, rows_of(name), "rows")  # reads the items in the form of the stream
    path = make(name)[0].fit(3).save(tmp_path / "half")
    assert torch.equal(weights(make(name, workers=2)[0].resume(path).fit(5)), whole)


def on_a_rank(rank, world, folder):
    found = {}
    for name in FORMS:
        whole = weights(make(name)[0].fit(4))
        path = make(name)[0].fit(2).save(folder / name)
        found[name] = whole, torch.equal(weights(make(name, workers=1)[0].resume(path).fit(4)), whole)
    return found


def test_two_ranks_equal_one_and_resume_bit_for_bit(tmp_path):
    first, second = run_ranks(on_a_rank, 2, tmp_path)
    for name in FORMS:
        assert torch.equal(first[name][0], second[name][0]), "the ranks drifted apart"
        assert first[name][1] and second[name][1], f"{name}: the resumed run differs"
        torch.testing.assert_close(first[name][0], weights(make(name)[0].fit(4)), rtol=1e-5, atol=1e-6, msg=name)


def start(folder, *flags, world=2):
    """Start the ranks of a run with two encoders."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ranks = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(world)}
    return [Program(run, folder, *flags, **ranks, RANK=str(r), LOCAL_RANK=str(r)) for r in range(world)]


def test_two_encoders_on_two_ranks_are_killed_and_resumed(tmp_path):
    whole = start(tmp_path / "whole")
    assert [p.wait() for p in whole] == [0, 0], [p.text for p in whole]
    killed = start(tmp_path / "killed", "--die")  # after the first ranks: the free port may be the same
    assert [p.wait() for p in killed] == [-signal.SIGKILL] * 2, [p.text for p in killed]
    assert not (tmp_path / "killed" / "weights.pt").exists()
    assert [p.wait() for p in start(tmp_path / "killed", "--resume")] == [0, 0]
    one, other = (torch.load(tmp_path / name / "weights.pt") for name in ("whole", "killed"))
    assert torch.equal(one, other)


def test_crops_of_one_size_share_a_pass():
    made, _ = make("crops")
    made.fit(1)
    assert [tuple(x.shape) for x in made.encoder.body.seen] == [(16, 1, 10, 10), (16, 1, 6, 6)]


def seen_by(batches):
    encoder = encoders.wrap(Net(), 8)
    step = Step(batches, encoder)
    features = {name: step[name].features for name in batches}
    assert len(encoder.body.seen) == len(step.passes)
    for name, batch in batches.items():
        torch.testing.assert_close(features[name], encoder(batch.inputs), msg=name)
    return encoder.body.seen, step


def test_a_mask_of_one_stream_alone_is_not_dropped():
    """Row 16."""
    ids, mask = torch.arange(1, 7).view(2, 3), torch.tensor([[1, 1, 0], [1, 0, 0]])
    image_rows = Batch(torch.randn(2, 1, 6, 6), None, torch.arange(2))
    full = Batch({"attention_mask": mask, "input_ids": ids}, None, torch.arange(2))
    other = Batch({"input_ids": ids + 1, "attention_mask": mask}, None, torch.arange(2))  # the order of keys is free
    seen, step = seen_by({"full": full, "images": image_rows, "other": other})
    assert [p.views for p in step.passes] == [("full", "other"), ("images",)]
    assert torch.equal(step["full"].mask, mask.bool()) and step["images"].mask is None

    class Both(nn.Module):
        def forward(self, x):
            mask = x.get("attention_mask", torch.ones_like(x["input_ids"]))
            return (x["input_ids"] * mask).float()

    bare = Batch({"input_ids": ids}, None, torch.arange(2))
    for names in (("bare", "full"), ("full", "bare")):
        batches = {n: {"bare": bare, "full": full}[n] for n in names}
        step = Step(batches, Both())
        assert torch.equal(step["full"].features, (ids * mask).float())
        assert torch.equal(step["bare"].features, ids.float()) and len(step.passes) == 2


def test_streams_of_unequal_shape_have_a_pass_each():
    class Total(nn.Module):
        def forward(self, x):
            return x.sum(1, keepdim=True)

    rows = {"a": (4, 6), "b": (3, 5), "c": (2, 6)}
    batches = {n: Batch(torch.randn(*s), None, torch.arange(s[0])) for n, s in rows.items()}
    step = Step(batches, Total())
    for name, batch in batches.items():
        torch.testing.assert_close(step[name].features[:, 0], batch.inputs.sum(1))
    assert [p.views for p in step.passes] == [("a", "c"), ("b",)]
    torch.testing.assert_close(step.features("a", "b"), torch.cat([step["a"].features, step["b"].features]))


def test_predictions_and_features_read_mappings():
    made, head = make("words")
    made.fit(2)
    data = Items(words)
    found = made.predict(head, data, batch_size=5)
    options = {"label": "labels", "collate": FORMS["words"][1]["collate"]}
    assert found.labels.tolist() == [i % 3 for i in range(ROWS)]
    encoder = encoders.wrap(made.encoder.eval(), 8)
    torch.testing.assert_close(engine.features(encoder, data, **options).tensors[0], found.features)
    again = engine.predict(encoder, head, data, batch_size=ROWS, **options)
    torch.testing.assert_close(again.outputs, found.outputs)


def test_predictions_may_be_trees_and_labels_lists():
    made, head = make("boxes")
    found = made.predict(head, Items(FORMS["boxes"][0]), batch_size=5)
    assert [len(y["boxes"]) for y in found.labels] == [i % 4 for i in range(ROWS)]

    class Two(nn.Module):
        def forward(self, z):
            return {"first": z[:, 0], "both": (z, z[:, 1:])}

    tree = engine.predict(made.encoder, Two(), Items(image), batch_size=5).outputs
    assert tree["first"].shape == (ROWS,) and tree["both"][1].shape == (ROWS, 7)


class Random(TensorDataset):
    """Its items are random: the fast path must not skip them."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + torch.rand(()), y


def test_evaluation_of_random_items_is_the_same_every_time_and_takes_the_items():
    encoder, data = encoders.wrap(nn.Identity(), 1), Random(torch.zeros(50, 1), torch.arange(50))
    one, other = (engine.predict(encoder, nn.Identity(), data, batch_size=b).outputs for b in (50, 7))
    assert torch.equal(one, other) and len(one.unique()) > 40
    assert len(engine.features(encoder, data).tensors[0].unique()) > 40


def test_a_missing_view_names_the_remedy():
    term = Term("t", lambda step: step["rows"].views[2].features.mean())
    streams = {"rows": Stream(Items(image), 4, views=[None, None])}
    made = Trainer(encoders.wrap(Net(), 8), [term], streams, progress=False, device="cpu")
    with pytest.raises(IndexError, match=r"`views\[2\]` was asked for, and stream `rows` has 2 views"):
        made.fit(1)


class Normed(nn.Module):
    """The mean of a padded sound, with BatchNorm."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4))

    def forward(self, x):
        return self.layers((x["values"] * x["mask"]).sum(1, keepdim=True) / x["lengths"][:, None])


def refused_on_ranks(rank, world):
    body = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4))
    streams = {n: Stream(Items(image), 4, collate=collate.pad()) for n in ("a", "b")}
    term = Term("t", lambda step: step["a"].features.mean())
    with pytest.raises(ValueError, match='ranks may run different passes.*take `passes="separate"`'):
        Trainer(encoders.wrap(body, 4), [term], streams, progress=False, device="cpu")
    Trainer(encoders.wrap(body, 4), [term], streams, progress=False, device="cpu", batch_norm="rank")
    named = {n: Stream(Items(sound), 4, collate=collate.pad(), encoder=n) for n in ("a", "b")}
    apart = {n: encoders.wrap(Normed(), 4) for n in named}  # a pass of one stream each: no rank waits
    both = Term("t", lambda step: (step["a"].features - step["b"].features).square().mean())
    return bool(weights(Trainer(apart, [both], named, progress=False, device="cpu").fit(3)).isfinite().all())


def test_ranks_that_could_wait_forever_in_batch_norm_are_refused():
    assert run_ranks(refused_on_ranks, 2) == [True, True]
