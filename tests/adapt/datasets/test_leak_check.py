"""Planted leaks are found, each alone; clean splits are clean; the numbers of the rows are the planted rows."""

from datetime import date, timedelta

import numpy
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from adapt import datasets
from adapt.datasets import leak_check

TRAIN, TEST = 80, 40


def cloud(rows, *shape, seed):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))


def sides(*shape):
    labels = torch.arange(TRAIN + TEST) % 3
    return (
        TensorDataset(cloud(TRAIN, *shape, seed=0), labels[:TRAIN]),
        TensorDataset(cloud(TEST, *shape, seed=1), labels[TRAIN:]),
    )


def kinds(leaks):
    return [leak.kind for leak in leaks]


@pytest.mark.parametrize("shape", [(3,), (12,), (1, 50), (3, 8, 8)])
def test_a_clean_split_is_clean(shape):
    state = torch.get_rng_state()
    groups = (range(TRAIN), range(100, 100 + TEST))
    times = (numpy.arange(TRAIN), numpy.arange(TRAIN, TRAIN + TEST) + 5)
    known = {0: -1, 1: 0} if len(shape) == 1 else None
    assert leak_check(*sides(*shape), groups=groups, times=times, horizon=5, known=known) == []
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(3,), (12,), (3, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_equal_rows(shape, dtype):
    train, test = sides(*shape)
    x = test.tensors[0].clone()
    x[[4, 30]] = train.tensors[0][[70, 2]]
    x, y = x.to(dtype), train.tensors[0].to(dtype)
    for given in (
        (y, x),
        (y.double().numpy(), x.double().numpy()),
        (TensorDataset(y), Subset(TensorDataset(x), range(TEST))),
    ):
        (leak,) = leak_check(*given)
        assert leak.kind == "same input" and leak.train.tolist() == [2, 70] and leak.test.tolist() == [4, 30]
        assert "2 of 40 test rows equal a training row (test row 4 and training row 70)" in str(leak)


def test_near_copies_of_images_and_of_rows_of_a_table():
    train, test = sides(3, 8, 8)
    train.tensors[0][9] = train.tensors[0][9] * 3 + 1  # other contrast and brightness
    test.tensors[0][7] = train.tensors[0][9] / 2 + 0.01 * cloud(3, 8, 8, seed=2)
    (leak,) = leak_check(train, test)
    assert leak.kind == "near copy" and leak.train.tolist() == [9] and leak.test.tolist() == [7]
    assert leak_check(train, test, near=1) == []
    table, other = (cloud(n, 12, seed=s) * torch.logspace(-5, 5, 12) for n, s in ((TRAIN, 0), (TEST, 1)))
    other[3] = table[5] * (1 + 0.01 * cloud(12, seed=3))
    (leak,) = leak_check(table, other)
    assert leak.kind == "near copy" and (leak.train.item(), leak.test.item()) == (5, 3)


def test_mirrored_copies_and_no_alarm_for_symmetric_images():
    train, test = sides(3, 8, 8)
    test.tensors[0][7] = train.tensors[0][9].flip(-1)
    (leak,) = leak_check(train, test)
    assert leak.kind == "mirrored copy" and (leak.train.item(), leak.test.item()) == (9, 7)


def test_texts_that_differ_in_case_space_and_entities_or_by_a_word():
    said = [f"the {i}th customer said that thing number {i * i} of the shop was not worth the money" for i in range(9)]
    train = datasets.texts([*said, "Tom &amp; Jerry  sat"], list(range(10)))
    assert leak_check(train, ["something else altogether", "tom", "&amp;"]) == []
    (leak,) = leak_check(train, ["a", "TOM &amp;amp; jerry sat".replace("amp;amp", "amp")])
    assert leak.kind == "same input" and leak.train.tolist() == [9] and leak.test.tolist() == [1]
    text = " ".join(f"word{i}" for i in range(40))
    (leak,) = leak_check(["x", text], ["y", text.replace("word7 ", "other ")])
    assert leak.kind == "near copy" and leak.train.tolist() == [1] and leak.test.tolist() == [1]
    assert leak_check(["x", text], [" ".join(reversed(text.split()))]) == []  # the same words in another order


@pytest.mark.parametrize("kind", [list, numpy.array, torch.tensor])
def test_shared_groups(kind):
    groups = [i // 2 for i in range(TRAIN)], [38, 39, *range(100, 100 + TEST - 2)]
    (leak,) = leak_check(*sides(4), groups=tuple(map(kind, groups)))
    assert leak.kind == "shared group" and leak.train.tolist() == [76, 77, 78, 79] and leak.test.tolist() == [0, 1]
    x, _ = sides(4)[0].tensors
    train, test = (
        datasets.Rows(rows, groups=torch.tensor(g)) for rows, g in zip((x, cloud(TEST, 4, seed=1)), groups, strict=True)
    )
    assert kinds(leak_check(train, test)) == ["shared group"]  # the groups of the data sets


def test_time_order_and_windows_of_labels_with_dates():
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(TRAIN + TEST)]
    assert leak_check(*sides(4), times=(days[:TRAIN], days[TRAIN:])) == []
    (leak,) = leak_check(*sides(4), times=(days[:TRAIN], days[TRAIN:]), horizon=timedelta(days=3))
    assert leak.kind == "label window" and leak.train.tolist() == [78, 79] and "2020-03-21" in leak.message
    moved = [*days[1:TRAIN], days[-1]]
    (leak,) = leak_check(*sides(4), times=(moved, days[TRAIN:]))
    assert leak.kind == "time order" and leak.train.tolist() == [79]
    for train, test in datasets.walk_forward(range(TRAIN), 4, horizon=5):
        x = cloud(TRAIN, 4, seed=0)
        assert leak_check(x[train], x[test], times=(train, test), horizon=5) == []


def test_a_column_that_is_known_after_the_prediction():
    """The close of New York of the day before Tokyo's close is known 15 hours after the close of Tokyo of that day."""
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(TRAIN + TEST)]
    times = days[:TRAIN], days[TRAIN:]
    known = {0: timedelta(0), 1: timedelta(hours=-9), 2: timedelta(hours=15)}
    (leak,) = leak_check(*sides(4), times=times, known=known)
    assert leak.kind == "column of the future" and "column 2" in leak.message and "column 1" not in leak.message


def test_a_column_that_tells_the_label():
    train, test = sides(5)
    for side in (train, test):
        side.tensors[0][:, 3] = side.tensors[1] * 10 + 0.1 * side.tensors[0][:, 3]
    (leak,) = leak_check(train, test)
    assert leak.kind == "column tells the label" and "column 3 alone" in leak.message
    numbers = [TensorDataset(side.tensors[0], side.tensors[0][:, 3].exp()) for side in sides(5)]
    train = TensorDataset(cloud(4000, 5, seed=5), cloud(4000, 5, seed=5)[:, 3].exp())
    (leak,) = leak_check(train, numbers[1])
    assert leak.kind == "column tells the label"


@pytest.mark.parametrize("shape", [(4,), (3, 20), (3, 8, 8)])
def test_scales_that_were_learned_from_both_sides(shape):
    train, test = (side.tensors[0] for side in sides(*shape))
    both = datasets.standardize(TensorDataset(torch.cat([train, test + 1])))[0].tensors[0]
    assert kinds(leak_check(both[:TRAIN], both[TRAIN:])) == ["prepared together"]
    scaled = [side.tensors[0] for side in datasets.standardize(TensorDataset(train), TensorDataset(test + 1))]
    assert leak_check(*scaled) == []


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: leak_check(torch.zeros(0, 3), torch.zeros(2, 3)), ValueError, "`train` must have at least one row"),
        (lambda: leak_check(torch.zeros(2, 3), torch.zeros(2, 4)), ValueError, r"one shape, got \(3,\) and \(4,\)"),
        (lambda: leak_check(["a"], torch.zeros(2, 4)), TypeError, "of one kind, got texts"),
        (lambda: leak_check([{"x": 1}], [{"x": 1}]), TypeError, "found a dict"),
        (lambda: leak_check(torch.ones(2, 3), torch.zeros(2, 3), groups=([1], [1])), ValueError, "`groups` must be"),
        (lambda: leak_check(torch.ones(2, 3), torch.zeros(2, 3), times=([1, 2], [1])), ValueError, r"`times\[1\]`"),
        (lambda: leak_check(torch.ones(2, 3), torch.zeros(1, 3), known={0: 1}), ValueError, "`known` needs `times`"),
        (
            lambda: leak_check(torch.ones(2, 3), torch.zeros(1, 3), times=([1, 2], [3]), known={3: 1}),
            ValueError, "`known` must name columns by number, 0 to 2, got 3",
        ),
        (
            lambda: leak_check(torch.ones(2, 3), torch.zeros(1, 3), times=([1, 2], [date(2020, 1, 1)])),
            TypeError, "numbers on both sides or dates on both sides",
        ),
        (lambda: leak_check(torch.ones(2, 3), torch.zeros(1, 3), near=1.5), ValueError, "`near`"),
    ],
)  # fmt: skip
def test_doors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_constant_rows_integers_missing_values_and_images_of_unequal_sizes():
    assert leak_check(torch.ones(5, 3, 8, 8), torch.zeros(5, 3, 8, 8)) == []
    assert kinds(leak_check(torch.ones(5, 12, dtype=torch.uint8), torch.ones(1, 12))) == ["same input"]
    x = cloud(9, 12, seed=0)
    x[:, 2] = float("nan")
    assert kinds(leak_check(x, x[:1])) == ["same input"]
    ragged = [torch.ones(3, 4, 4), torch.ones(3, 5, 5)]
    assert kinds(leak_check(ragged, [torch.ones(3, 5, 5)])) == ["same input"]
    tiny, huge = (x.nan_to_num() * scale for scale in (1e-20, 1e15))
    for scaled in (tiny, huge):
        assert leak_check(scaled[:5], scaled[5:]) == []
