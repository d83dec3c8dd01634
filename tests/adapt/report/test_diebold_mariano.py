"""The robust variance against a double sum, false alarms on series with memory, and doors."""

import numpy
import pytest
from scipy.stats import ttest_1samp

from adapt.report import diebold_mariano


def series(n, seed):
    """Differences of five-day forecasts: a moving average over five days."""
    return numpy.convolve(numpy.random.default_rng(seed).normal(size=n + 4), numpy.ones(5), "valid")


@pytest.mark.parametrize("lags", [0, 1, 4, 20])
def test_variance_equals_the_double_sum(lags):
    d, n = series(200, 0) + 0.3, 200
    total = 0.0
    for s in range(n):
        for t in range(n):
            total += max(0.0, 1 - abs(s - t) / (lags + 1)) * (d[s] - d.mean()) * (d[t] - d.mean())
    found = diebold_mariano(d + 5, numpy.full(n, 5.0), lags=lags)
    assert found.statistic == pytest.approx(d.mean() / numpy.sqrt(total / n**2), rel=1e-10)
    assert found.difference.value == pytest.approx(d.mean()) and found.lags == lags
    assert found.difference.excludes(0) == (found.p < 0.05)


def test_without_lags_it_is_a_t_test():
    d = numpy.random.default_rng(1).normal(0.1, size=50)
    expected = ttest_1samp(d, 0).statistic * numpy.sqrt(50 / 49)  # the variance divides by n
    assert diebold_mariano(d, 0 * d, lags=0).statistic == pytest.approx(expected)


def test_false_alarms_of_series_with_memory():
    def alarms(lags):
        return numpy.mean([diebold_mariano(series(500, i), numpy.zeros(500), lags=lags).p < 0.05 for i in range(400)])

    assert alarms(0) > 0.3  # as if the days were independent
    assert alarms(22) < 0.09


def test_a_better_forecast_is_found_and_equal_forecasts_are_not():
    base = series(400, 2) ** 2
    found = diebold_mariano(base - 0.5, base)
    assert found.p == 0 and found.difference.value == pytest.approx(-0.5)
    same = diebold_mariano(base, base)
    assert same.p == 1 and same.statistic == 0 and same.difference == (0, 0, 0)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (([1.0], [1.0]), {}, "at least 3 times for 1 lags, got 1|at least 2 times"),
        (([1.0, 2], [1.0]), {}, r"one loss per time, got \(2,\) and \(1,\)"),
        (([[1.0]], [[1.0]]), {}, "one loss per time"),
        (([1.0, float("nan")], [1.0, 2]), {"lags": 0}, "must be finite"),
        (([1.0, 2, 3], [1.0, 2, 4]), {"lags": 2}, "at least 4 times for 2 lags, got 3"),
        (([1.0, 2, 3], [1.0, 2, 4]), {"lags": -1}, "`lags` must be"),
        (([1.0, 2, 3], [1.0, 2, 4]), {"lags": 1.5}, "`lags` must be"),
    ],
)
def test_doors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        diebold_mariano(*arguments, **options)
