"""A small seeded sample of `coverage_of_intervals.py`: the intervals hold the truth about as often as they say."""

import numpy as np
import pytest

from tests import coverage_of_intervals as script

# 40 repetitions of a 95 % interval hold the truth 34 times or fewer in 1 of 70 draws; the seeds are fixed
LEAST = 0.875


@pytest.mark.parametrize(
    ("part", "table", "kept"),
    [
        ("benefit", "CURVES", ["worth one octave"]),
        ("odds", "RATES", ["2 groups, no gap", "3 groups, 0.2"]),
        ("ece", "MODELS", ["calibrated, 500 rows", "overconfident, 500 rows"]),
    ],
)
def test_intervals_hold_the_truth(part, table, kept, monkeypatch):
    monkeypatch.setattr(script, table, {name: getattr(script, table)[name] for name in kept})
    lines = list(script.PARTS[part](40, np.random.default_rng(0)))
    assert len(lines) >= len(kept)
    assert {case: share for case, share, _ in lines if share < LEAST} == {}


def test_a_narrower_interval_is_seen():
    """The measure itself: an interval of half the width holds the truth too seldom."""

    def narrow(i):
        values = np.random.default_rng(i).normal(0, 1, 5)
        found = script.report.mean_interval(values)
        half = found.value + (np.array(found) - found.value) / 2
        return script.holds(script.report.Interval(*half.tolist()), 0.0)

    assert script.share_of(200, narrow) < LEAST


def test_no_verdict_without_an_effect():
    lines = list(script.verdict(20, np.random.default_rng(0)))
    assert np.mean([share for case, share, _ in lines if case.startswith("no false verdict")]) >= 0.9
    power = {case: share for case, share, _ in lines if case.startswith("power, an effect of 4")}
    assert power["power, an effect of 4 standard deviations of a run, 20 seeds"] == 1
