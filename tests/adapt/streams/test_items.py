"""Items of every form; randomness inside of a dataset is keyed."""

import random
from collections import namedtuple
from dataclasses import dataclass
from itertools import islice

import numpy
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from adapt.streams import Batch, Stream, collate

Sample = namedtuple("Sample", ["image", "text", "kind"])


class Made(Dataset):
    def __init__(self, item, rows=12):
        self.item, self.rows = item, rows

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        return self.item(index)


def row(i):
    return {"x": torch.tensor([float(i)]), "ids": [i, i + 1], "labels": i % 3}


def take(stream, count=1, start=0, **key) -> list[Batch]:
    return list(islice(stream.batches("s", key.pop("seed", 0), start, **key), count))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_key_names_the_label_and_the_rest_is_the_input(workers):
    batch = take(Stream(Made(row), 4, label="labels", workers=workers))[0]
    assert batch.inputs.keys() == {"x", "ids"} and torch.equal(batch.labels, batch.index % 3)
    assert torch.equal(batch.inputs["ids"], torch.stack([batch.index, batch.index + 1], 1))
    hidden = take(Stream(Made(row), 4, label="labels", labels=False, workers=workers))[0]
    assert hidden.labels is None and hidden.inputs.keys() == {"x", "ids"}


def test_namedtuples_stay():
    make = lambda i: Sample(torch.ones(2) * i, i, i % 2)  # noqa: E731
    whole = take(Stream(Made(make), 4, labels=False))[0]
    assert type(whole.inputs) is Sample and torch.equal(whole.inputs.text, whole.index)
    labelled = take(Stream(Made(make), 4, label="kind"))[0]
    assert labelled.inputs.keys() == {"image", "text"} and torch.equal(labelled.labels, labelled.index % 2)


def test_labels_may_be_trees():
    batch = take(Stream(Made(lambda i: (torch.ones(2), {"class": i, "box": torch.ones(4) * i})), 4))[0]
    assert torch.equal(batch.labels["class"], batch.index) and batch.labels["box"].shape == (4, 4)
    moved = batch.map(lambda t: t + 1)
    assert torch.equal(moved.labels["class"], batch.index + 1)


@dataclass
class Collator:
    """As a data collator of transformers: rows with labels to a batch with labels; it has no hash."""

    seen: list

    def __call__(self, rows):
        self.seen += rows
        return {k: torch.stack([torch.as_tensor(r[k]) for r in rows]) for k in rows[0]}


def test_collate_gets_the_items_as_the_dataset_gives_them_with_the_input_augmented():
    collator = Collator([])
    stream = Stream(Made(row), 4, label="labels", collate=collator, augment=lambda x: {**x, "x": -x["x"]})
    batch = take(stream)[0]
    assert collator.seen[0].keys() == {"x", "ids", "labels"}
    assert torch.equal(batch.inputs["x"][:, 0], -batch.index.float()) and torch.equal(batch.labels, batch.index % 3)
    pairs = lambda items: (torch.stack([x for x, _ in items]), [y for _, y in items])  # noqa: E731
    data = Made(lambda i: (torch.ones(2) * i, "odd" if i % 2 else "even"))
    batch = take(Stream(data, 4, collate=pairs))[0]
    assert batch.labels == ["odd" if i % 2 else "even" for i in batch.index.tolist()]
    assert take(Stream(data, 4, collate=pairs, labels=False))[0].labels is None
    bare = take(Stream(Made(lambda i: torch.ones(1 + i % 3)), 4, labels=False, collate=collate.pad()))[0]
    assert bare.labels is None and torch.equal(bare.inputs["lengths"], 1 + bare.index % 3)


def test_views_of_any_number_and_size():
    cut = lambda n: lambda x: x[:n] + torch.rand(())  # noqa: E731
    data = Made(lambda i: (torch.full((6,), 10.0 * i), i))
    batch = take(Stream(data, 4, views=[cut(4), None, cut(2), cut(2)]))[0]
    assert [tuple(v.shape) for v in (batch.inputs, *batch.more)] == [(4, 4), (4, 6), (4, 2), (4, 2)]
    assert not torch.equal(batch.more[1], batch.more[2])
    # the key of a view is its number, whatever the other views are
    alone = take(Stream(data, 4, augment=cut(4)))[0]
    assert torch.equal(alone.inputs, batch.inputs)
    other = take(Stream(data, 4, views=[None, None, cut(2)]))[0]
    assert torch.equal(other.more[1], batch.more[1])


class Drawing(Dataset):
    """Draws from each of the three global generators."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.tensor([torch.rand(()), numpy.random.rand(), random.random()], dtype=torch.float64), index


@pytest.mark.parametrize("augment", [None, lambda x: x + torch.rand(())])
def test_randomness_in_a_dataset_is_keyed(augment):
    streams = [Stream(Drawing(), 20, augment=augment, workers=w) for w in (0, 2)]
    states = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
    plain, forked = (take(s, 4) for s in streams)
    assert torch.equal(states[0], torch.get_rng_state()) and states[2] == random.getstate()
    assert (states[1] == numpy.random.get_state()[1]).all()
    for one, other in zip(plain, forked, strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.index, other.index)
    for column in range(3):  # two epochs of 40 rows
        assert len(torch.cat([b.inputs for b in plain])[:, column].unique()) == 80
    assert torch.equal(take(streams[1], 1, start=3)[0].inputs, plain[3].inputs)
    assert not torch.isin(take(streams[1], 1, seed=1)[0].inputs, plain[0].inputs).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stream(Made(row), 2), '`label="labels"` .*where an item is a mapping'),
        (lambda: Stream(Made(row), 2, label="label"), r"names 'label', and an item of `dataset` has the keys \['ids'"),
        (lambda: Stream(TensorDataset(torch.ones(3, 2)), 2, label="y"), "an item of `dataset` has a tuple"),
        (lambda: Stream(Made(row), 2, label="labels", augment=abs, views=[abs]), "either `augment` or `views`"),
        (lambda: Stream(Made(row), 2, label="labels", views=[]), "at least one view"),
        (
            lambda: take(Stream(Made(lambda i: (i, i)), 2, collate=lambda items: torch.tensor(items)[:, 0])),
            r"must return a batch in the form of the items, \(inputs, labels\), got a Tensor",
        ),
        (
            lambda: take(Stream(Made(row), 2, label="labels", collate=collate.pad(), augment=lambda x: x["x"])),
            "an augmentation of mappings must return a mapping, got a Tensor",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
