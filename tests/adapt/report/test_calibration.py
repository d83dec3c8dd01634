"""Calibration errors against slow references, and their intervals against simulations written apart."""

import numpy as np
import pytest
from scipy import stats

from adapt import report
from adapt.report._calibration import Binned


def binary(n=400, power=1.5, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.beta(4, 2, n)
    return c, (rng.random(n) < c**power).astype(int)


def in_bins(c, y, bins):
    """Confidences and hits of each bin that holds rows, row by row."""
    found = {}
    for p, hit in zip(c, y, strict=True):
        found.setdefault(min(int(p * bins), bins - 1), []).append((p, hit))
    return {k: np.array(found[k]).T for k in sorted(found)}


def slow_smooth_error(c, y, points=400):
    """The kernel with its reflections, summed over the rows at each point; the root by bisection."""
    t = (np.arange(points) + 0.5) / points

    def integral(width):
        kernel = sum(stats.norm.pdf(t[:, None], place, width) for m in (-2, 0, 2) for place in (c + m, m - c))
        return np.abs(kernel @ (y - c) / len(c)).mean()

    low, high = 1e-4, 1.0
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if integral(middle) > middle else (low, middle)
    return low


def test_the_debiased_error_adds_the_noise_once_more_to_see_its_bias():
    c, y = binary()
    rng, expected = np.random.default_rng(1), 0.0
    for p, hits in in_bins(c, y, 10).values():
        rate = (hits.sum() + 0.5) / (len(hits) + 1)
        again = rng.normal(hits.mean() - p.mean(), np.sqrt(rate * (1 - rate) / len(hits)), 400_000)
        expected += len(hits) / len(c) * (2 * abs(hits.mean() - p.mean()) - np.abs(again).mean())
    assert report.calibration(c, y, bins=10).ece.value == pytest.approx(expected, abs=2e-4)


def test_the_bias_is_smaller_than_that_of_the_plain_sum():
    plain, debiased = [], []
    for seed in range(200):
        c, y = binary(300, 1.0, seed)
        binned = Binned(c, y, np.unique((c * 15).astype(int), return_inverse=True)[1])
        plain.append(binned.weight @ np.abs(binned.residual))
        debiased.append(binned.debiased())
    assert np.mean(debiased) < 0.7 * np.mean(plain)


def test_the_smooth_error_is_the_width_that_equals_its_integral():
    for power in (1.0, 3.0):
        c, y = binary(300, power)
        assert report.calibration(c, y).smooth_ece.value == pytest.approx(slow_smooth_error(c, y), abs=1e-3)


def test_the_smooth_error_is_that_of_the_authors():
    relplot = pytest.importorskip("relplot", reason="relplot, the code of the authors, is not installed")
    c, y = binary(1000)
    assert report.calibration(c, y).smooth_ece.value == pytest.approx(relplot.smECE(c, y), abs=2e-3)


def test_the_bins_hold_all_rows():
    c, y = binary()
    bins = report.calibration(c, y, bins=10).bins
    for found, (k, (p, hits)) in zip(bins, in_bins(c, y, 10).items(), strict=True):
        assert (found.low, found.high, found.n) == (k / 10, (k + 1) / 10, len(p))
        assert found.confidence == pytest.approx(p.mean()) and found.accuracy.value == pytest.approx(hits.mean())
        expected = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
        assert found.accuracy[1:] == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_confidence_is_that_of_the_predicted_class():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 200)
    labels = np.where(rng.random(200) < 0.5, p.argmax(1), rng.integers(0, 4, 200))
    two = report.calibration(p.max(1), p.argmax(1) == labels)
    assert report.calibration(p, labels) == two
    some = np.where(np.arange(200) < 150, labels, -1)
    assert report.calibration(p, some) == report.calibration(p[:150], labels[:150])


def test_the_ends_of_the_interval_just_keep_the_data():
    """At an end, a model of that error shows an error as far away as the data in one of 40 simulations."""
    c, y = binary(800, 2.0)
    found = report.calibration(c, y)
    cells = in_bins(c, y, 15)
    observed = sum(abs((hits - p).sum()) for p, hits in cells.values()) / len(c)
    of = np.concatenate([np.full(len(p), i) for i, (p, _) in enumerate(cells.values())])
    rows = np.concatenate([pair for pair in cells.values()], axis=1)
    binned, rng = Binned(rows[0], rows[1], of), np.random.default_rng(7)
    for end, side, start in ((found.ece.low, 1, binned.residual), (found.ece.high, -1, binned.calm)):
        residual = binned.true(end, start)
        assert (binned.weight * np.abs(residual)).sum() == pytest.approx(end, abs=1e-6)
        errors = []
        for _ in range(3000):
            drawn = rng.integers(0, len(c), len(c))
            hits = rng.random(len(c)) < binned.confidence[of[drawn]] + residual[of[drawn]]
            errors.append(np.abs(np.bincount(of[drawn], hits - binned.confidence[of[drawn]])).sum() / len(c))
        assert (side * (np.array(errors) - observed) > 0).mean() == pytest.approx(0.025, abs=0.01)


def test_a_planted_overconfidence_is_found_and_a_calibrated_model_is_not_accused():
    c, y = binary(1000, 1.0)
    fair = report.calibration(c, y)
    assert not fair.ece.excludes(0) and fair.smooth_ece.low < 0.01
    c, y = binary(1000, 2.0)
    wrong = report.calibration(c, y)
    assert wrong.ece.low > 0.05 and wrong.smooth_ece.low > 0.05 and wrong.confidence > wrong.accuracy


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.5]], [0, 1], "one entry of `labels` per row"),
        ([[0.5, 0.5]], [2], "classes from 0 to 1, got 2 to 2"),
        ([[0.5, 0.5]], [-1], "at least one label"),
        ([[5.0, -3.0]], [0], "take the softmax"),
    ],
)
def test_doors(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        report.calibration(probabilities, labels)
