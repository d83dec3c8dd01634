"""The benefit of a transfer: every number and every end of an interval against a slow reference."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from adapt import report

BUDGETS = np.array([10, 20, 40, 80, 160, 320, 640])
X = np.log2(BUDGETS)


def curve(budgets, start, end, rate):
    return end - (end - start) * (np.asarray(budgets) / 10.0) ** -rate


def drawn(seeds=5, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    shape, shared = (seeds, len(BUDGETS)), rng.normal(0, noise, (seeds, 1))
    return (
        curve(2 * BUDGETS, 0.3, 0.9, 0.4) + shared + rng.normal(0, noise, shape),
        curve(BUDGETS, 0.3, 0.9, 0.4) + shared + rng.normal(0, noise, shape),
    )


def at(curves, x):
    return np.array([np.interp(x, X, c) for c in curves])


def area(row, low, high):
    return quad(lambda x: np.interp(x, X, row), low, high, points=X[(X > low) & (X < high)], limit=200)[0]


def test_differences_are_students():
    f, g = drawn()
    found = report.benefit(f, g, BUDGETS)
    slopes = [np.polyfit(X, row, 1)[0] for row in f - g]
    areas = [area(row, X[0], X[-1]) / (X[-1] - X[0]) for row in f - g]
    for interval, values in (
        (found.jumpstart, f[:, 0] - g[:, 0]), (found.end_gap, f[:, -1] - g[:, -1]),
        (found.slope_gap, slopes), (found.area_gap, areas),
    ):  # fmt: skip
        expected = stats.ttest_1samp(values, 0).confidence_interval()
        assert interval == pytest.approx((np.mean(values), expected.low, expected.high), abs=1e-9)


def test_octaves_shift_one_curve_onto_the_other():
    f, g = drawn()
    found = report.benefit(f, g, BUDGETS)

    def gap(shift):
        return np.array([area(a, X[0], X[-1] - shift) - area(b, X[0] + shift, X[-1])
                         for a, b in zip(f, g, strict=True)])  # fmt: skip

    assert gap(found.octaves.value).mean() == pytest.approx(0, abs=1e-4)
    for end in found.octaves[1:]:
        assert stats.ttest_1samp(gap(end), 0).pvalue == pytest.approx(0.05, abs=0.002)
    assert found.multiplier == pytest.approx(tuple(2**v for v in found.octaves))
    assert found.octaves.excludes(0) and not found.octaves.excludes(1)
    back = report.benefit(g, f, BUDGETS).octaves
    assert back == pytest.approx((-found.octaves.value, -found.octaves.high, -found.octaves.low), abs=1e-9)


def test_the_ratio_is_fiellers():
    f, g = drawn()
    a = np.array([area(row, X[0], X[-1]) for row in f - g])
    b = np.array([area(row, X[0], X[-1]) for row in g])
    found = report.benefit(f, g, BUDGETS).transfer_ratio
    assert found.value == pytest.approx(a.mean() / b.mean())
    for end in found[1:]:
        assert stats.ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05, abs=1e-6)


def test_times_to_a_threshold():
    f, g = drawn()
    found = report.benefit(f, g, BUDGETS, threshold=0.75)
    for interval, curves in zip(found.time_to_threshold, (f, g), strict=True):
        assert at(curves, math.log2(interval.value)).mean() == pytest.approx(0.75, abs=1e-6)
        for end in interval[1:]:
            assert stats.ttest_1samp(at(curves, math.log2(end)) - 0.75, 0).pvalue == pytest.approx(0.05, abs=0.003)
    first, second = found.time_to_threshold
    assert found.speed_up.value == pytest.approx(second.value / first.value)
    assert found.speed_up.low < 2 < found.speed_up.high
    never = report.benefit(f, g, BUDGETS, threshold=0.99)
    assert [t.value for t in never.time_to_threshold] == [math.inf] * 2 and math.isnan(never.speed_up.value)
    assert never.time_to_threshold[0].low == pytest.approx(640)
    always = report.benefit(f, g, BUDGETS, threshold=0.1).time_to_threshold[0]
    assert always == pytest.approx((10, 0, 10))


def test_the_crossing_is_where_scratch_becomes_better():
    rng = np.random.default_rng(0)
    g = curve(BUDGETS, 0.3, 0.9, 0.4) + rng.normal(0, 0.005, (5, len(BUDGETS)))
    f = curve(BUDGETS, 0.5, 0.8, 0.4) + rng.normal(0, 0.005, (5, len(BUDGETS)))
    found = report.benefit(f, g, BUDGETS)
    assert at(f - g, math.log2(found.crossing.value)).mean() == pytest.approx(0, abs=1e-4)
    for end in found.crossing[1:]:
        assert stats.ttest_1samp(at(f - g, math.log2(end)), 0).pvalue == pytest.approx(0.05, abs=0.003)
    assert "the curve from scratch is better" in found.sentence
    assert report.benefit(g, f, BUDGETS).crossing is None


def test_a_budget_of_zero_counts_for_the_start_alone():
    f, g = drawn()
    with_zero = report.benefit(
        np.column_stack([f[:, 0] + 0.3, f]), np.column_stack([g[:, 0], g]), [0, *BUDGETS], threshold=0.75
    )
    without = report.benefit(f, g, BUDGETS, threshold=0.75)
    assert with_zero.jumpstart.value == pytest.approx((f - g)[:, 0].mean() + 0.3)
    assert replace(with_zero, jumpstart=without.jumpstart, budgets=without.budgets) == without


def test_errors_speak_for_the_transfer_where_they_are_lower():
    f, g = drawn()
    found, errors = report.benefit(f, g, BUDGETS), report.benefit(1 - f, 1 - g, BUDGETS, higher_is_better=False)
    for name in ("jumpstart", "end_gap", "slope_gap", "area_gap", "octaves"):
        assert getattr(errors, name) == pytest.approx(getattr(found, name), abs=1e-9), name
    a, b = (1 - f).mean(0), (1 - g).mean(0)
    assert errors.transfer_ratio.value == pytest.approx(1 - area(a, X[0], X[-1]) / area(b, X[0], X[-1]))


def test_curves_too_far_apart_are_worth_more_than_the_budgets_show():
    f, g = drawn()
    found = report.benefit(f + 1, g, BUDGETS)
    assert found.octaves.value == found.octaves.high == math.inf and found.octaves.low == pytest.approx(4.5)
    assert "worth more than 23 times the budget" in found.sentence
    harmed = report.benefit(f - 1, g, BUDGETS)
    assert harmed.multiplier.value == 0 and harmed.octaves.high == pytest.approx(-4.5)
    assert "harms" in harmed.sentence and "less than 0.044 times" in harmed.sentence


def test_what_small_data_cannot_say():
    f, g = drawn()
    one = report.benefit(f[:1], g[:1], BUDGETS, threshold=0.75)
    for name in ("jumpstart", "octaves", "transfer_ratio", "speed_up"):
        assert getattr(one, name).high == math.inf, name
    assert "No benefit and no harm" in one.sentence
    flat = report.benefit(np.full((3, 3), 0.5), np.full((3, 3), 0.5), [1, 2, 4])
    assert math.isnan(flat.octaves.value) and flat.octaves[1:] == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("f", "g", "budgets", "message"),
    [
        ([[1, 2]], [[1, 2]], [2, 1], "`budgets` must grow"),
        ([[1, 2]], [[1, 2]], [0, 1], "at least two above 0"),
        ([[1, 2]], [[1, 2, 3]], [1, 2], "got shapes"),
        ([[1, math.nan]], [[1, 2]], [1, 2], "must be finite"),
    ],
)
def test_doors(f, g, budgets, message):
    with pytest.raises(ValueError, match=message):
        report.benefit(f, g, budgets)
