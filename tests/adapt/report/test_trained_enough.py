"""Planted losses that fall, settle and rise; the slope against slow references."""

import math

import numpy
import pytest

from adapt import report


def log(values, tag="loss/total", **more):
    return [{"step": 10 * k, tag: float(v), **{t: float(x[k]) for t, x in more.items()}} for k, v in enumerate(values)]


def noisy(values, noise=0.01, seed=0):
    return values + noise * numpy.random.default_rng(seed).standard_normal(len(values))


STEPS = numpy.linspace(0, 1, 60)


@pytest.mark.parametrize(
    ("values", "falling"),
    [
        (2 - STEPS, True),
        (2 * numpy.exp(-20 * STEPS), False),
        (2 * numpy.exp(-2 * STEPS), True),
        (numpy.where(STEPS < 0.3, 1 - STEPS, 0.7 + 0.2 * STEPS), False),
    ],
)
def test_falling_and_settled_losses(values, falling):
    found = report.trained_enough(log(noisy(values)))
    assert found.falling is falling
    assert ("still falling" in found.sentence) is falling


def test_noise_larger_than_the_fall_leaves_the_question_open():
    values = 2 - 0.3 * STEPS
    values[0] = 2.2
    found = report.trained_enough(log(noisy(values, 0.3, seed=1)))
    assert found.falling is None and "cannot tell" in found.sentence


def test_the_slope_is_the_median_of_all_pairs_relative_to_the_fall():
    values = noisy(2 * numpy.exp(-3 * STEPS), 0.05)
    found = report.trained_enough(log(values))
    late = [k for k in range(60) if 10 * k >= 2 / 3 * 590]
    slopes = [(values[b] - values[a]) / (b - a) for a in late for b in late if a < b]
    fall = values[0] - numpy.median(values[late])
    assert found.slope.value == pytest.approx(numpy.median(slopes) * (late[-1] - late[0]) / fall, rel=1e-9)
    assert found.slope.low < found.slope.value < found.slope.high


def test_the_interval_covers_and_an_outlier_changes_little():
    clean = report.trained_enough(log(2 - STEPS))
    truth = clean.slope.value
    covered = [
        (found := report.trained_enough(log(noisy(2 - STEPS, 0.05, seed)))).slope.low <= truth <= found.slope.high
        for seed in range(100)
    ]
    assert 0.85 <= numpy.mean(covered) <= 1
    values = 2 - STEPS
    values[55] = 100
    assert report.trained_enough(log(values)).slope.value == pytest.approx(
        truth, rel=0.03
    )  # the median of the third moves a little


def test_supervised_losses_come_first_and_a_tag_decides():
    rows = log(2 - STEPS, "loss/supervised_source", **{"loss/total": 2 * numpy.exp(-20 * STEPS)})
    assert report.trained_enough(rows).falling is True
    assert report.trained_enough(rows, tag="loss/total").falling is False
    with pytest.raises(KeyError, match="was not logged"):
        report.trained_enough(rows, tag="loss/other")
    curves = {"loss/supervised_source": [(row["step"], row["loss/supervised_source"]) for row in rows]}
    assert report.trained_enough(curves) == report.trained_enough(rows)


def test_several_supervised_losses_are_averaged():
    half = log(2 - STEPS, "loss/supervised_a", **{"loss/supervised_b": 4 - STEPS})
    assert report.trained_enough(half).slope == pytest.approx(report.trained_enough(log(3 - STEPS)).slope)


def test_a_schedule_that_ends_at_0_is_told():
    rate = {"learning_rate/all": 0.001 * (1 + numpy.cos(math.pi * STEPS)) / 2}
    assert "may still gain" in report.trained_enough(log(noisy(2 * numpy.exp(-20 * STEPS)), **rate)).sentence
    assert "may still gain" not in report.trained_enough(log(noisy(2 * numpy.exp(-20 * STEPS)))).sentence


def test_where_the_log_cannot_tell_the_sentence_says_why():
    for rows, said in [
        ([], "no loss was logged"),
        (log([2.0, 1.0, 0.5]), "3 log points"),
        (log(1 + STEPS), "has not fallen"),
    ]:
        found = report.trained_enough(rows)
        assert found.falling is None and said in found.sentence and math.isnan(found.slope.value)
