"""Batches hold rows of similar length, in an order that is a function of the key."""

from itertools import islice

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

from adapt.streams import Stream, episodes

LENGTHS = torch.randint(1, 100, (1003,), generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(torch.arange(1003.0)[:, None], torch.arange(1003) % 3)


def rows(stream, count, start=0, **ranks):
    return [b.index for b in islice(stream.batches("s", 0, start, **ranks), count)]


def padding(batches):
    places = sum(int(LENGTHS[b].max()) * len(b) for b in batches)
    return places / sum(int(LENGTHS[b].sum()) for b in batches) - 1


def test_a_batch_needs_little_padding_and_the_epoch_keeps_its_rows():
    plain, sorted_ = Stream(DATA, 10), Stream(DATA, 10, lengths=LENGTHS)
    before, after = rows(plain, 100), rows(sorted_, 100)
    assert padding(after) < 0.05 < 0.5 < padding(before)
    assert torch.equal(torch.cat(before).sort().values, torch.cat(after).sort().values)  # no long rows are left out


def test_long_and_short_batches_come_mixed_and_differ_for_each_epoch():
    stream = Stream(DATA, 10, lengths=LENGTHS)
    first, second = (torch.stack(part) for part in (rows(stream, 100), rows(stream, 100, start=100)))
    means = LENGTHS[first].double().mean(1)
    assert (
        abs(means[:25].mean() - means[25:50].mean()) < 25
    )  # about 50 in sorted order; standard error 8 in random order
    assert {frozenset(b.tolist()) for b in first}.isdisjoint(frozenset(b.tolist()) for b in second)


@pytest.mark.parametrize("options", [{}, {"last": "keep"}, {"sampling": "balanced"}])
def test_the_order_is_a_function_of_the_step(options):
    stream = Stream(DATA, 10, lengths=LENGTHS, **options)
    whole = rows(stream, 150)
    assert all(torch.equal(a, b) for a, b in zip(whole[97:], rows(stream, 53, start=97), strict=True))
    if "last" in options:
        assert len(whole[100]) == 3 and torch.cat(whole[:101]).sort().values.tolist() == list(range(1003))


def test_two_ranks_read_the_batch_of_one_rank_at_similar_lengths():
    stream = Stream(DATA, 10, lengths=LENGTHS)
    parts = [rows(stream, 100, rank=rank, world=2) for rank in (0, 1)]
    assert all(torch.equal(torch.cat(b), a) for a, b in zip(rows(stream, 100), zip(*parts, strict=True), strict=True))
    longest = torch.stack([torch.stack([LENGTHS[b].max() for b in part]) for part in parts])
    assert (longest[1] - longest[0]).double().mean() < 5


def test_streams_with_other_lengths_read_other_rows():
    given = [Stream(DATA, 10, lengths=kind) for kind in (LENGTHS, LENGTHS.tolist(), LENGTHS.numpy().astype("uint8"))]
    assert all(given[0].same_rows_as(other) and repr(other) == repr(given[0]) for other in given)
    for other in (Stream(DATA, 10), Stream(DATA, 10, lengths=LENGTHS.flip(0))):
        assert not given[0].same_rows_as(other) and repr(other) != repr(given[0])


@pytest.mark.parametrize(
    "lengths",
    [LENGTHS[1:], LENGTHS[:, None], LENGTHS.double(), LENGTHS > 5, -LENGTHS, ["a"] * 1003, 3,
     numpy.full(1003, numpy.nan), [True] * 1003, []],
)  # fmt: skip
def test_lengths_are_one_whole_number_per_row(lengths):
    with pytest.raises(ValueError, match="`lengths` must be a whole number of at least 0 for each of 1003 rows"):
        Stream(DATA, 10, lengths=lengths)


@pytest.mark.parametrize("options", [{"batch_size": 10, "shuffle": False}, {"sampling": episodes(2, 1, 1)}])
def test_lengths_need_an_order_to_sort(options):
    with pytest.raises(ValueError, match="`lengths` sorts the rows anew"):
        Stream(DATA, lengths=LENGTHS, **options)
