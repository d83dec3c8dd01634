"""Rows come uniformly, balanced or by weights, in an order that is a function of the key; the last rows may stay."""

from itertools import islice

import numpy
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from adapt.streams import Stream

LABELS = torch.tensor([0] * 80 + [1] * 15 + [2] * 5)
DATA = TensorDataset(torch.arange(100.0)[:, None], LABELS)


def take(stream, count, start=0, seed=0, **ranks):
    return list(islice(stream.batches("s", seed, start, **ranks), count))


def index(stream, count, **key):
    return torch.cat([b.index for b in take(stream, count, **key)])


def test_classes_come_equally_often():
    drawn = LABELS[index(Stream(DATA, 10, sampling="balanced"), 600)]
    assert (drawn.bincount() / 6000 - 1 / 3).abs().max() < 4 * (2 / 9 / 6000) ** 0.5  # four standard errors


def test_groups_of_a_column_come_equally_often():
    groups = (torch.arange(100) % 10 == 0).long()
    for by in (groups, groups.tolist(), groups.numpy()):
        stream = Stream(DATA, 10, sampling="balanced", by=by, labels=False)
        share = groups[index(stream, 600)].double().mean()
        assert abs(share - 0.5) < 4 * (0.25 / 6000) ** 0.5


def test_rows_come_by_their_weights():
    weights = torch.zeros(100)
    weights[:4] = torch.tensor([1.0, 2.0, 0.0, 7.0])
    found = index(Stream(DATA, 10, sampling=weights), 600).bincount(minlength=100) / 6000
    assert (found[:4] - torch.tensor([0.1, 0.2, 0.0, 0.7])).abs().max() < 0.03 and found[4:].eq(0).all()
    assert found[2] == 0
    assert index(Stream(DATA, 50, sampling=numpy.eye(100)[99]), 2).tolist() == [99] * 100
    assert index(Stream(DATA, 50, sampling=numpy.eye(100)[0]), 2).tolist() == [0] * 100


def test_rows_without_a_class_are_not_drawn():
    labels = LABELS.clone()
    labels[:70] = -1
    stream = Stream(TensorDataset(DATA.tensors[0], labels), 10, sampling="balanced")
    assert index(stream, 50).min() >= 70


@pytest.mark.parametrize(
    "options", [{"sampling": "balanced"}, {"last": "keep"}, {"sampling": LABELS + 1.0, "last": "keep"}]
)
def test_the_order_is_keyed(options):
    stream = Stream(DATA, 24, **options)
    whole = take(stream, 12)
    for number, batch in enumerate(take(stream, 5, start=7)):
        assert torch.equal(batch.index, whole[7 + number].index) and torch.equal(batch.inputs, whole[7 + number].inputs)
    shares = [take(stream, 12, rank=r, world=2) for r in range(2)]
    for number, batch in enumerate(whole):
        assert torch.equal(torch.cat([s[number].index for s in shares]), batch.index)
    forked = take(Stream(DATA, 24, workers=2, augment=lambda x: x, **options), 12)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(whole, forked, strict=True))
    assert not torch.equal(whole[0].index, take(stream, 1, seed=1)[0].index)
    assert not torch.equal(whole[0].index, whole[stream.per_epoch].index)


def test_the_last_batch_may_keep_the_rows_left_over():
    stream = Stream(DATA, 24, last="keep")
    batches = take(stream, 10)
    assert stream.per_epoch == 5 and [len(b.index) for b in batches] == [24, 24, 24, 24, 4] * 2
    for epoch in (batches[:5], batches[5:]):
        assert sorted(torch.cat([b.index for b in epoch]).tolist()) == list(range(100))
    assert Stream(DATA, 25, last="keep").per_epoch == 4 == Stream(DATA, 24).per_epoch


class Listed(Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        return DATA[index]


def test_the_text_of_a_stream_tells_samplings_apart():
    made = [{}, {"last": "keep"}, {"sampling": "balanced"}, {"sampling": LABELS + 1.0}, {"sampling": LABELS + 2.0}]
    made.append({"sampling": "balanced", "by": LABELS})
    texts = [repr(Stream(DATA, 10, **options)) for options in made]
    assert len(set(texts)) == len(made) and texts[0] == "Stream(100 rows, batch_size=10, labels=True)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "even"}, "must be 'uniform', 'balanced' or a weight per row, got 'even'"),
        ({"sampling": torch.ones(99)}, r"a weight for each of 100 rows, got shape \(99,\)"),
        ({"sampling": torch.zeros(100)}, "finite weights of 0 or more, with one above 0"),
        ({"sampling": LABELS - 1.0}, "got weights from -1 to 1"),
        ({"sampling": torch.full((100,), torch.nan)}, "finite weights"),
        (
            {"sampling": "balanced", "labels": False},
            "does not tell the labels .*give the groups, `by=",
        ),
        ({"sampling": "balanced", "dataset": Listed()}, "does not tell the labels"),
        ({"sampling": "balanced", "by": torch.ones(100)}, r"got `by` of shape \(100,\) and torch.float32"),
        ({"sampling": "balanced", "dataset": TensorDataset(torch.ones(9, 1), -torch.ones(9).long())}, "labels alone"),
        ({"by": LABELS}, '`by` names the groups of `sampling="balanced"`'),
        ({"sampling": torch.ones(100), "by": LABELS}, "leave `by` out"),
        ({"sampling": "balanced", "shuffle": False}, "`sampling` draws"),
        ({"last": "some"}, "`last` must be 'drop' or 'keep', got 'some'"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        Stream(options.pop("dataset", DATA), 5, **options)


def test_a_last_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(ValueError, match="last batch of stream `s` must divide by the 3 ranks, got 4 rows"):
        Stream(DATA, 24, last="keep").batches("s", 0, world=3)
