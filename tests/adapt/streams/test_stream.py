"""Order and augmentation are functions of the key, whatever the workers, the ranks and the place one starts from."""

import multiprocessing
import random
import time
from itertools import islice

import numpy
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from adapt.randomness import keyed_seed, untouched_randomness
from adapt.streams import Batch, Stream
from adapt.streams import stream as stream_module

DATA = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20))


class Items(Dataset):
    def __init__(self, labelled=True):
        self.labelled = labelled

    def __len__(self):
        return 20

    def __getitem__(self, index):
        x = {"a": torch.full((2,), float(index)), "b": torch.tensor(index)}
        return (x, index) if self.labelled else x


def noisy(x):
    """Draws from each of the three global generators."""
    return x + torch.rand(()) + numpy.random.rand() + random.random()


def take(stream, count, start=0, name="s", seed=0, **ranks):
    return list(islice(stream.batches(name, seed, start, **ranks), count))


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.index, other.index)


def test_an_epoch_shows_no_row_twice_and_the_next_another_order():
    stream = Stream(DATA, 6)  # 3 batches an epoch, 2 rows sit out
    epochs = [torch.cat([b.index for b in take(stream, 3, start)]) for start in (0, 3, 6)]
    assert all(len(set(e.tolist())) == 18 for e in epochs)
    assert not torch.equal(epochs[0], epochs[1]) and set(epochs[0].tolist()) != set(epochs[1].tolist())
    batch = take(stream, 1)[0]
    assert torch.equal(batch.inputs[:, 0], batch.labels.float()) and torch.equal(batch.index, batch.labels)


def test_unshuffled_keeps_the_order():
    assert torch.equal(torch.cat([b.index for b in take(Stream(DATA, 5, shuffle=False), 4)]), torch.arange(20))


@pytest.fixture
def spawned():
    """Workers are new interpreters, as on macOS and Windows."""
    method = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(method, force=True)


def test_spawned_workers_give_the_same_batches(spawned):
    augmented = take(Stream(DATA, 6, augment=noisy, workers=1, prefetch_factor=1), 4)
    assert all(same(a, b) for a, b in zip(augmented, take(Stream(DATA, 6, augment=noisy), 4), strict=True))


class Counted(Items):
    """Counts the rows that a forked worker has read, in shared memory."""

    def __init__(self):
        super().__init__()
        self.read = torch.zeros(1, dtype=torch.long).share_memory_()

    def __getitem__(self, index):
        self.read += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("factor", [1, 3])
def test_a_worker_reads_as_many_batches_ahead_as_asked(factor):
    data = Counted()
    stream = Stream(data, 5, workers=1, prefetch_factor=factor)
    data.read.zero_()  # the stream looks at the first row
    batches = stream.batches("s", 0)
    next(batches), next(batches)
    end = time.monotonic() + 30
    while data.read < 5 * (factor + 2) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert data.read == 5 * (factor + 2)


@pytest.mark.parametrize(("asked", "there", "pinned"), [(None, True, True), (None, False, False), (False, True, False)])
def test_batches_are_pinned_where_asked_or_cuda_is_there(asked, there, pinned, monkeypatch):
    told = {}
    monkeypatch.setattr(stream_module, "read_by_workers", lambda *_, **options: told.update(options))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    Stream(Items(), 5, workers=1, pin_memory=asked).batches("s", 0)
    assert told["pin"] is pinned


@pytest.mark.parametrize(("workers", "factor"), [(0, 2), (1, 0)])
def test_reading_ahead_needs_workers_and_a_batch(workers, factor):
    with pytest.raises(ValueError, match="`prefetch_factor` must be (None without|a whole number of at least 1)"):
        Stream(DATA, 5, workers=workers, prefetch_factor=factor)


@pytest.mark.parametrize("options", [{}, {"augment": noisy}, {"augment": noisy, "workers": 2}])
def test_starting_later_gives_the_same_batches(options):
    stream = Stream(DATA, 6, **options)
    whole = take(stream, 8)
    assert all(same(a, b) for a, b in zip(whole[5:], take(stream, 3, start=5), strict=True))


@pytest.mark.parametrize("options", [{}, {"augment": noisy}])
def test_ranks_divide_the_batch(options):
    stream = Stream(DATA, 6, **options)
    shares = [take(stream, 4, rank=r, world=3) for r in range(3)]
    for number, whole in enumerate(take(stream, 4)):
        parts = [s[number] for s in shares]
        assert torch.equal(torch.cat([p.inputs for p in parts]), whole.inputs)
        assert torch.equal(torch.cat([p.labels for p in parts]), whole.labels)


def test_seed_and_name_give_other_orders():
    stream = Stream(DATA, 6)
    first = take(stream, 1)[0].index
    assert not torch.equal(first, take(stream, 1, seed=1)[0].index)
    assert not torch.equal(first, take(stream, 1, name="t")[0].index)


def test_augmentation_is_keyed_by_epoch_and_index_and_leaves_the_global_states():
    stream = Stream(DATA, 20, augment=noisy)
    states = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
    one, two = take(stream, 2)
    assert torch.equal(states[0], torch.get_rng_state()) and states[2] == random.getstate()
    assert (states[1] == numpy.random.get_state()[1]).all()
    by_index = lambda b: (b.inputs[:, 0] - b.index)[b.index.argsort()]  # noqa: E731
    assert len(set(by_index(one).tolist())) == 20
    assert not torch.equal(by_index(one), by_index(two))
    torch.manual_seed(99)
    assert same(one, take(stream, 1)[0])
    # another batch size, the same draws for the same (epoch, index)
    (five,) = take(Stream(DATA, 5, augment=noisy), 1)
    torch.testing.assert_close(by_index(one)[five.index], five.inputs[:, 0] - five.index)


def test_a_second_view_is_another_draw_of_the_same_rows():
    batch = take(Stream(DATA, 6, views=[noisy, noisy]), 1)[0]
    assert not torch.equal(batch.inputs, batch.more[0])
    assert ((batch.inputs - batch.more[0]).abs() < 3).all()
    plain = take(Stream(DATA, 6, views=[None, noisy]), 1)[0]
    assert torch.equal(plain.inputs[:, 0], plain.index.float())


@pytest.mark.parametrize("workers", [0, 2])
def test_items_with_structure_are_collated(workers):
    batch = take(Stream(Items(), 4, workers=workers), 1)[0]
    assert batch.inputs["a"].shape == (4, 2) and torch.equal(batch.inputs["b"], batch.labels)
    assert batch.map(lambda x: x + 1).inputs["b"].tolist() == (batch.labels + 1).tolist()
    unlabelled = take(Stream(Items(labelled=False), 4, labels=False, workers=workers), 1)[0]
    assert unlabelled.labels is None


def test_hidden_labels_stay_hidden():
    assert take(Stream(DATA, 4, labels=False), 1)[0].labels is None
    assert take(Stream(DATA, 4, labels=False, augment=noisy), 1)[0].labels is None
    assert Stream(DATA, 4, labels=False).all_labels() is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stream(TensorDataset(torch.zeros(0, 2), torch.zeros(0)), 1), "is empty"),
        (lambda: Stream(DATA, 21), "between 1 and the 20 rows.*got 21"),
        (lambda: Stream(DATA, 0), "got 0"),
        (lambda: Stream(TensorDataset(torch.zeros(5, 2)), 2), "without labels; pass `labels=False`"),
        (lambda: Stream(Items(labelled=False), 2), "without labels"),
        (lambda: Stream(DATA, 6).batches("s", 0, world=4), "must divide by the 4 ranks, got 6"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_key_is_stable():
    assert keyed_seed(0, "source", 3) == 593195693460404766  # another number would change every order ever used
    assert keyed_seed(0, "source", 3) != keyed_seed(0, "source", 4) and 0 <= keyed_seed("x") < 2**63


def test_untouched_randomness_restores_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), untouched_randomness():
        torch.manual_seed(5)
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())
