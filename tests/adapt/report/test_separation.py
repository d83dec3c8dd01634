"""The area under the ROC against the mean over all pairs of rows, its interval over groups, and thresholds."""

import itertools

import numpy
import pytest
import torch
from sklearn.metrics import roc_auc_score

from adapt import report


def drawn(n, ties, seed=0):
    g = numpy.random.default_rng(seed)
    y = g.integers(2, size=n)
    y[:2] = 0, 1
    s = g.normal(size=n) + y
    return (s.round(0) if ties else s), y


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_the_mean_over_all_pairs(ties):
    s, y = drawn(60, ties)
    pairs = itertools.product(s[y == 1], s[y == 0])
    expected = numpy.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
    found = report.separation(s, y, resamples=10)
    assert found.auc.value == pytest.approx(expected, abs=1e-12) == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert (found.positives, found.negatives, found.auc.n) == (y.sum(), 60 - y.sum(), 60)
    assert report.separation(torch.from_numpy(s), torch.from_numpy(y), resamples=10).auc == found.auc
    assert report.separation(-s, 1 - y, resamples=10).auc.value == pytest.approx(expected, abs=1e-12)
    for t, f, r in zip(found.thresholds, found.false_alarms, found.recalls, strict=True):
        assert f == pytest.approx((s[y == 0] >= t).mean()) and r == pytest.approx((s[y == 1] >= t).mean())


@pytest.mark.parametrize("recall", [0.01, 0.5, 0.95, 1.0])
def test_the_largest_threshold_with_the_recall(recall):
    s, y = drawn(200, True)
    found = report.separation(s, y, resamples=10)
    t = found.threshold(recall)
    assert (s[y == 1] >= t).mean() >= recall > (s[y == 1] > t).mean()
    assert found.false_alarm(recall) == pytest.approx((s[y == 0] >= t).mean())


def test_the_interval_holds_for_whole_groups_and_is_wider_where_rows_are_repeated():
    s, y = drawn(80, False)
    groups = numpy.arange(80)
    once = report.separation(s, y).auc
    many = report.separation(numpy.tile(s, 9), numpy.tile(y, 9), groups=[f"g{i}" for i in numpy.tile(groups, 9)]).auc
    wrong = report.separation(numpy.tile(s, 9), numpy.tile(y, 9)).auc
    assert many.n == 80 and many.value == pytest.approx(once.value) and once.low < once.value < once.high
    assert (many.high - many.low) == pytest.approx(once.high - once.low, rel=0.1)
    assert (wrong.high - wrong.low) < 0.5 * (many.high - many.low)


def test_the_interval_holds_the_truth():
    truth, hits = 0.7602, 0  # normal, one deviation apart: Phi(1 / sqrt 2)
    for seed in range(200):
        g = numpy.random.default_rng(seed)
        y = numpy.repeat([0, 1], 60)
        auc = report.separation(g.normal(size=120) + y, y, resamples=200, seed=seed).auc
        hits += auc.low <= truth <= auc.high
    assert 180 <= hits <= 199


def test_without_any_error_the_interval_is_wilsons():
    auc = report.separation([3.0, 2.0, 1.0, 0.0], [1, 1, 0, 0]).auc
    assert auc.value == 1 and auc.high == 1 and 0.4 < auc.low < 0.6


@pytest.mark.parametrize(
    "scores, labels, groups, message",
    [
        ([], [], None, "`scores` must be"),
        ([1.0, numpy.nan], [0, 1], None, "`scores` must be"),
        ([[1.0]], [[1]], None, "`scores` must be"),
        ([1.0, 2.0], [0, 2], None, "`labels` must be 0 or 1"),
        ([1.0, 2.0], [0], None, "`labels` must be 0 or 1"),
        ([1.0, 2.0], [1, 1], None, "positive and negative rows, got 2 and 0"),
        ([1.0, 2.0], [0, 1], [1], "`groups` must be one for each of 2 rows"),
    ],
)
def test_doors(scores, labels, groups, message):
    with pytest.raises(ValueError, match=message):
        report.separation(scores, labels, groups=groups)
    with pytest.raises(ValueError, match="`recall`"):
        report.separation([1.0, 2.0], [0, 1], resamples=1).threshold(1.5)
