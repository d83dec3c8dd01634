"""Folds by time: equal to scikit-learn's where both apply, purged by a slow reference, dates as numbers."""

from datetime import date, datetime, timedelta

import numpy
import pandas
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import TimeSeriesSplit, cross_val_score

from adapt.datasets import walk_forward


def plain(folds):
    return [(train.tolist(), test.tolist()) for train, test in folds]


def test_equals_scikit_learn_without_a_gap():
    expected = [(a.tolist(), b.tolist()) for a, b in TimeSeriesSplit(5).split(numpy.zeros((60, 1)))]
    assert plain(walk_forward(range(60), 5)) == expected


@pytest.mark.parametrize(
    "horizon, embargo, window", [(0, 0, None), (3, 0, None), (1, 2, None), (1.5, 0.5, 9), (0, 1, 4)]
)
def test_purging_equals_a_slow_reference(horizon, embargo, window):
    t = numpy.random.default_rng(0).integers(0, 40, 120) / 2
    moments = sorted(set(t.tolist()))
    blocks = numpy.array_split(numpy.array(moments), 5)
    expected = []
    for block in blocks[1:]:
        reach, back = block[0] - horizon - embargo, -1 if window is None else block[0] - window
        learn = [i for i, when in enumerate(t) if when < block[0] and back <= when <= reach]
        expected.append((learn, [i for i, when in enumerate(t) if block[0] <= when <= block[-1]]))
    assert plain(walk_forward(t, 4, horizon=horizon, embargo=embargo, window=window)) == expected


DAYS = [date(2020, 1, 1) + timedelta(days=i) for i in range(30)]


@pytest.mark.parametrize(
    "times",
    [
        DAYS, [d.isoformat() for d in DAYS], [datetime(d.year, d.month, d.day) for d in DAYS],
        numpy.array(DAYS, "M8[D]"),
        pandas.Series(pandas.to_datetime(DAYS)), pandas.DatetimeIndex(DAYS),
    ],
)  # fmt: skip
def test_dates_of_every_kind_equal_numbers(times):
    expected = plain(walk_forward(torch.arange(30), 3, horizon=5, window=12))
    assert plain(walk_forward(times, 3, horizon=timedelta(days=5), window=numpy.timedelta64(12, "D"))) == expected


def test_rows_of_one_day_stay_together_in_any_order():
    t = torch.arange(12).repeat(3)[torch.randperm(36, generator=torch.Generator().manual_seed(0))]
    for train, test in walk_forward(t, 3):
        assert t[train].max() < t[test].min() and not set(t[train].tolist()) & set(t[test].tolist())
    assert len(cross_val_score(Ridge(), t[:, None], t, cv=walk_forward(t, 3))) == 3  # the form of `cv`


def test_large_whole_numbers_stay_apart():
    t = [2**60 + i for i in range(6)]
    assert plain(walk_forward(t, 2)) == plain(walk_forward(range(6), 2))


@pytest.mark.parametrize(
    "times, options, error, message",
    [
        ([1, 1, 1], {}, ValueError, "`folds` must be fewer than the distinct times, got 5 folds and 1 times"),
        (range(9), {"folds": 0}, ValueError, "`folds` must be a whole number of at least 1"),
        (range(9), {"folds": True}, ValueError, "`folds` must be"),
        (range(9), {"folds": 2, "horizon": 7}, ValueError, "fold 1 of 2 has no row to learn from"),
        (range(9), {"folds": 2, "horizon": -1}, ValueError, "`horizon` must be a number of at least 0"),
        (range(9), {"folds": 2, "embargo": timedelta(1)}, TypeError, "`embargo` must be a number where the times"),
        (DAYS, {"folds": 2, "horizon": 5}, TypeError, "`horizon` must be a `datetime.timedelta`"),
        (DAYS, {"folds": 2, "horizon": timedelta(-1)}, ValueError, "`horizon` must be at least 0"),
        ([0.0, float("nan"), 2.0], {"folds": 1}, ValueError, "1 of 3 are missing, row 1 first"),
        ([DAYS[0], None, DAYS[1]], {"folds": 1}, ValueError, "1 of 3 are missing, row 1 first"),
        (["a", "b"], {"folds": 1}, TypeError, "numbers or dates"),
        (torch.zeros(3, 2), {"folds": 1}, ValueError, r"one time per row, \(3,\), got \(3, 2\)"),
        (torch.tensor([True, False]), {"folds": 1}, TypeError, "numbers or dates, got values of bool"),
        ([], {"folds": 1}, ValueError, "0 times"),
    ],
)  # fmt: skip
def test_doors(times, options, error, message):
    with pytest.raises(error, match=message):
        walk_forward(times, **options)
