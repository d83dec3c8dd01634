"""Calibration errors against slow references, and their intervals against simulations written apart."""

import numpy as np
import pytest
from scipy import stats

from adapt import report
from adapt.report._binned import Binned, corrected
from tests.coverage_of_intervals import ece


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


def slow_debiased(cells, rng=None, draws=50_000):
    """The sum over bins of |r|, four times, minus the means with noise added once, twice, three times; from draws of
    the noise, or from the formula of the mean where no generator is given."""
    n = np.array([len(p) for p, _ in cells])
    r = np.array([(hits - p).mean() for p, hits in cells])
    squares = np.array([((hits - p - (hits - p).mean()) ** 2).sum() for p, hits in cells])
    again = [np.abs(r)]
    for times in (1, 2, 3):
        spread = np.sqrt(times * (squares + 0.25) / (n + 0.5) / n)
        mean = stats.foldnorm.mean(abs(r) / spread, scale=spread)
        again.append(mean if rng is None else np.abs(rng.normal(r, spread, (draws, len(r)))).mean(0))
    return n / n.sum() @ (4 * again[0] - 6 * again[1] + 4 * again[2] - again[3])


def test_the_debiased_error_adds_the_noise_three_times_more_to_see_its_bias():
    c, y = binary()
    cells = in_bins(c, y, 10).values()
    found = report.calibration(c, y, bins=10).ece.value
    assert found == pytest.approx(slow_debiased(cells), abs=1e-9)
    assert found == pytest.approx(slow_debiased(cells, np.random.default_rng(1)), abs=2e-3)


def test_the_bias_is_smaller_than_that_of_the_plain_sum():
    found = [Binned(*binary(300, 1.0, seed)) for seed in range(200)]
    plain = np.mean([b.weight @ np.abs(b.residual) for b in found])
    assert np.mean([b.statistic() for b in found]) < 0.5 * plain


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


def test_the_most_likely_residuals_have_the_error_and_no_others_are_nearer():
    b = Binned(*binary(800, 2.0))
    rng, step = np.random.default_rng(0), 0.3
    for theta in (0.0, 0.02, 0.1, 0.4):
        true = b.true(theta)
        assert b.weight @ np.abs(true) == pytest.approx(theta, abs=1e-9)
        if theta:
            for _ in range(50):
                other = np.maximum(np.abs(true) * np.exp(step * rng.normal(size=len(true))), 0)
                other *= np.sign(b.start) * theta / (b.weight @ other)
                assert (((other - b.start) / b.noise) ** 2).sum() >= (((true - b.start) / b.noise) ** 2).sum()


def test_the_ends_of_the_interval_just_keep_the_data():
    """At an end, a model of that error shows an error as far away as the data in one of 40 simulations."""
    c, y = binary(800, 2.0)
    found = report.calibration(c, y).ece
    b, rng = Binned(c, y), np.random.default_rng(7)
    for end, side in ((found.low, 1), (found.high, -1)):
        rate, errors = (c + b.true(end)[b.of]).clip(0, 1), []
        for _ in range(700):
            drawn = rng.integers(0, len(c), len(c))
            cells = in_bins(c[drawn], rng.random(len(c)) < rate[drawn], 15).values()
            errors.append(slow_debiased(cells))
        assert (side * (np.array(errors) - b.statistic()) > 0).mean() == pytest.approx(0.025, abs=0.015)


def test_the_quantiles_know_skewness_and_the_shares_of_the_bins():
    """Within 2.5 % of the width of the simulated statistic; 4 to 9 % without the skewness, or with fixed shares."""
    rng = np.random.default_rng(0)
    sure, two = rng.beta(8, 1, 1000), np.repeat([0.5, 0.95], [100, 300])
    cases = [
        (Binned(sure, (rng.random(1000) < sure).astype(float), 5), 0.02),  # errors near the noise: a skewed statistic
        (Binned(two, (rng.random(400) < np.repeat([0.1, 0.95], [100, 300])).astype(float), 10), 0.1),
    ]
    for b, theta in cases:
        true = b.true(theta)
        residual = true + b.noise * rng.normal(size=(100_000, len(true)))
        again = rng.multinomial(b.n, b.weight, len(residual)) / b.n * b.noise * corrected(residual / b.noise)
        low, high = np.quantile(again.sum(1), (0.025, 0.975))
        found = b.quantile(theta, -1.96), b.quantile(theta, 1.96)
        assert found == pytest.approx((low, high), abs=0.025 * (high - low))


@pytest.mark.parametrize("name", [
    "calibrated and sure, 1000 rows", "overconfident, 500 rows", "wrong in one of 20 bins, 400 rows",
])  # fmt: skip
def test_the_interval_holds_the_truth(name):
    """A sample of `tests/coverage_of_intervals.py`, which has more cases and repetitions."""
    ((case, share, _),) = ece(200, np.random.default_rng(0), [name])
    assert 0.92 <= share <= 0.99, case


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
        ([[0.9, 0.8]], [0], "sum to 1, got other sums"),
        ([[0.5, 0.5]], [np.nan], "whole numbers of classes, got other values .float64"),
        ([0.5], [0.5], "whole numbers of classes"),
        ([[0.5, 0.5]], ["a"], "whole numbers of classes, got other values .<U1"),
    ],
)
def test_doors(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        report.calibration(probabilities, labels)
