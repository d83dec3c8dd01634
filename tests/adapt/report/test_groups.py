"""Groups: values against fairlearn, tests and intervals against slow references."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from adapt import report
from adapt.report._extremes import apart, closer, largest_gap, lowest, variances
from adapt.report._inversion import calmed


def rows(n=600, seed=0, names=("a", "b", "c"), harmed="c"):
    """Binary labels, predictions that are worse in one group, and predictions before."""
    rng = np.random.default_rng(seed)
    g, y = rng.choice(names, n), rng.integers(0, 2, n)
    before = np.where(rng.random(n) < 0.8, y, 1 - y)
    p = np.where(rng.random(n) < np.where(g == harmed, 0.6, 0.95), y, 1 - y)
    return p, y, g, before


def test_values_are_fairlearns():
    metrics = pytest.importorskip("fairlearn.metrics", reason="fairlearn, the extra `report`, is not installed")
    accuracy = pytest.importorskip("sklearn.metrics").accuracy_score
    for seed in range(5):
        p, y, g, _ = rows(seed=seed)
        found = report.groups(p, y, g)
        theirs = metrics.MetricFrame(metrics=accuracy, y_true=y, y_pred=p, sensitive_features=g)
        assert {r.name: r.score.value for r in found.rows} == pytest.approx(theirs.by_group.to_dict(), abs=1e-12)
        assert found.gap.value == pytest.approx(theirs.difference(), abs=1e-12)
        assert found.worst_score.value == pytest.approx(theirs.group_min(), abs=1e-12)
        odds = metrics.equalized_odds_difference(y, p, sensitive_features=g)
        assert found.equalized_odds.value == pytest.approx(odds, abs=1e-12)
        flipped = report.groups(p, y, g, positive=0).equalized_odds.value
        expected = metrics.equalized_odds_difference(1 - y, 1 - p, sensitive_features=g)
        assert flipped == pytest.approx(expected, abs=1e-12)


def test_values_by_hand():
    p, y, g, _ = rows()
    rates = {True: [], False: []}
    for name in "abc":
        for truth in rates:
            chosen = [p[i] for i in range(len(p)) if g[i] == name and (y[i] == 1) == truth]
            rates[truth].append(sum(chosen) / len(chosen))
    found = report.groups(p, y, g)
    assert found.equalized_odds.value == pytest.approx(max(max(r) - min(r) for r in rates.values()))
    assert found.worst == "c" and found.left_out == found.odds_left_out == []


def test_the_change_of_a_group_is_mcnemars():
    p, y, g, before = rows()
    found = report.groups(p, y, g, before=before)
    tests = {}
    for row in found.rows:
        pairs = [(p[i] == y[i], before[i] == y[i]) for i in range(len(p)) if g[i] == row.name]
        n, up, down = len(pairs), pairs.count((True, False)), pairs.count((False, True))
        m, k = up + down, min(up, down)
        tests[row.name] = min(1.0, 2 * sum(math.comb(m, i) for i in range(k + 1)) / 2**m)
        assert row.p == pytest.approx(tests[row.name]) and row.n == n
        assert row.change.value == pytest.approx((up - down) / n)
        assert row.before == pytest.approx(sum(then for _, then in pairs) / n)
        added = [1] * (up + 1) + [-1] * (down + 1) + [0] * (n - m)
        middle, half = np.mean(added), 1.959964 * np.std(added) / math.sqrt(n + 2)
        assert row.change[1:] == pytest.approx((middle - half, middle + half))
    order = sorted(tests, key=tests.get)
    steps = [min(1, (3 - i) * tests[name]) for i, name in enumerate(order)]
    adjusted = {name: max(steps[: i + 1]) for i, name in enumerate(order)}
    assert {r.name: r.adjusted for r in found.rows} == pytest.approx(adjusted)
    assert {r.name: r.verdict for r in found.rows} == {"a": "helped", "b": "helped", "c": "harmed"}


def test_the_change_over_seeds_counts_rows_and_seeds():
    rng, n, seeds = np.random.default_rng(0), 50, 4
    before, now = rng.random((seeds, n)) < 0.5, rng.random((seeds, n)) < np.array([[0.5], [0.7], [0.9], [0.8]])
    labels = np.ones(n, int)
    (row,) = report.groups(now.astype(int), labels, labels, before=before.astype(int)).rows
    d = [[int(now[s, i]) - int(before[s, i]) for i in range(n)] for s in range(seeds)]
    of_row = [sum(d[s][i] for s in range(seeds)) / seeds for i in range(n)] + [1, -1]
    of_seed = [sum(line) / n for line in d]
    parts = np.var(of_row) / (n + 2), np.var(of_seed, ddof=1) / seeds
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (seeds - 1))
    middle, spread = np.mean(of_row), math.sqrt(sum(parts))
    expected = stats.t.interval(0.95, freedom, middle, spread)
    assert row.change.value == pytest.approx(np.mean(of_seed)) and row.change[1:] == pytest.approx(expected)
    assert row.p == pytest.approx(2 * stats.t.sf(abs(middle) / spread, freedom))
    assert (row.n, row.score.value, row.before) == (n, pytest.approx(now.mean()), pytest.approx(before.mean()))


def test_one_lucky_seed_decides_nothing_and_equal_seeds_are_one_seed():
    rng, n = np.random.default_rng(0), 100
    y = np.ones(n, int)
    before = (rng.random((3, n)) < 0.6).astype(int)
    now = before.copy()
    now[0] = 1  # one of three seeds gains 40 points, the others nothing
    assert report.groups(now[0], y, y, before=before[0]).rows[0].verdict == "helped"
    assert report.groups(now, y, y, before=before).rows[0].verdict == "undecided"
    one, two = (report.groups(now[[0] * k], y, y, before=before[[0] * k]) for k in (1, 2))
    assert two.rows[0].change == pytest.approx(one.rows[0].change, abs=2e-3) and two.gap == one.gap
    assert two.worst_score == one.worst_score


def test_classes_are_groups_of_the_true_class():
    p, y, _, before = rows()
    found = report.per_class(p, y, before, names=["no", "yes"])
    expected = report.groups(p, y, y, before=before).rows
    assert [r.name for r in found] == ["no", "yes"]
    assert [r.change for r in found] == [r.change for r in expected]
    assert [r.score.value for r in found] == pytest.approx([(p[y == k] == k).mean() for k in (0, 1)])


def test_small_groups_are_said_to_be_small():
    p, y, g, before = rows()
    g = np.where(np.arange(len(g)) < 6, "tiny", g)
    p[:6] = 1 - y[:6]
    found = report.groups(p, y, g, before=before)
    tiny = next(r for r in found.rows if r.name == "tiny")
    assert tiny.too_small and tiny.verdict == "too small" and found.left_out == found.odds_left_out == ["tiny"]
    assert found.worst == "c" and found.rows[0].adjusted <= 3 * found.rows[0].p
    alone = report.groups(p[:6], y[:6], g[:6])
    assert alone.worst is None and alone.gap is None and alone.equalized_odds is None
    one_sided = report.groups(p, np.where(g == "a", 0, y), g)
    assert one_sided.odds_left_out == ["a", "tiny"] and one_sided.left_out == ["tiny"]


def test_missing_labels_do_not_count():
    p, y, g, before = rows()
    hidden = np.where(np.arange(len(y)) < 400, y, -1)
    assert report.groups(p, hidden, g, before=before) == report.groups(p[:400], y[:400], g[:400], before=before[:400])


def test_more_than_two_classes_have_no_equalized_odds_without_a_positive_class():
    p, y, g, _ = rows()
    y = np.where(np.arange(len(y)) % 5 == 0, 2, y)
    assert report.groups(p, y, g).equalized_odds is None
    assert report.groups(p, y, g, positive=1).equalized_odds.value > 0


def test_shares_move_no_further_than_they_must():
    rng = np.random.default_rng(0)
    for _ in range(5):
        counts = rng.integers(20, 200, (2, 4))
        hits = rng.binomial(counts, rng.uniform(0.3, 0.7, (2, 4)))
        shares, variance = hits / counts, variances(hits, counts)
        gap = np.ptp(shares, axis=1).max()
        nearer = closer(shares, variance, gap / 2)
        assert np.ptp(nearer, axis=1).max() == pytest.approx(gap / 2)
        for row, v, found in zip(shares, variance, nearer, strict=True):
            # every window of this width is tried
            costs = [((row.clip(a, a + gap / 2) - row) ** 2 / v).sum() for a in np.linspace(0, 1, 5001)]
            assert ((found - row) ** 2 / v).sum() == pytest.approx(min(costs), abs=1e-2)
        further = apart(shares, variance, gap + 0.1)
        assert np.ptp(further, axis=1).max() == pytest.approx(gap + 0.1)

        def cost_of(pair, target=gap + 0.1, shares=shares, variance=variance):
            r, i, j = pair

            def cost(low):
                wanted = shares[r].clip(low, low + target)
                wanted[i], wanted[j] = low + target, low
                return ((wanted - shares[r]) ** 2 / variance[r]).sum()

            return optimize.minimize_scalar(cost, bounds=(0, 1 - target), method="bounded").fun

        pairs = [(r, i, j) for r in range(2) for i in range(4) for j in range(4) if i != j]
        found = ((further - shares) ** 2 / variance).sum()
        assert found == pytest.approx(min(map(cost_of, pairs)), rel=0.05)


TEN = np.array([[47, 51, 44, 49, 41, 46, 52, 43, 48, 45]]), np.full((1, 10), 60)  # no spread beyond the noise


@pytest.mark.parametrize(("hits", "counts"), [
    (np.array([[80, 60, 70], [20, 35, 30]]), np.array([[100, 100, 100], [90, 110, 100]])), TEN,
])  # fmt: skip
def test_the_ends_of_the_interval_just_keep_the_data(hits, counts):
    """At an end, shares with that gap show a gap as far away as the data in one of 40 simulations."""
    found = largest_gap(hits, counts, 0)
    rng, shares, variance = np.random.default_rng(3), hits / counts, variances(hits, counts)
    calm = np.stack([calmed(row, v) for row, v in zip(shares, variance, strict=True)])
    for end, side, rates in (
        (found.low, 1, closer(shares, variance, found.low)), (found.high, -1, apart(calm, variance, found.high)),
    ):  # fmt: skip
        drawn = np.array([[(rng.random((20_000, n)) < r).mean(1) for n, r in zip(*pair, strict=True)]
                          for pair in zip(counts, rates, strict=True)])  # fmt: skip
        gaps = (drawn.max(1) - drawn.min(1)).max(0)
        if end == 0:
            continue  # the border of the range: no gap is not refused
        beyond = side * (gaps - found.value)
        assert (beyond > 1e-9).mean() + 0.5 * (abs(beyond) < 1e-9).mean() == pytest.approx(0.025, abs=0.008), end


def test_calmed_shares_have_the_spread_of_the_true_shares():
    rng = np.random.default_rng(0)
    truth, spread = rng.normal(0.5, 0.1, 4000), rng.uniform(0.05, 0.2, 4000)
    calm = calmed(truth + spread * rng.normal(size=4000), spread**2)
    assert calm.std() == pytest.approx(0.1, abs=0.01) and calm.mean() == pytest.approx(0.5, abs=0.01)
    assert np.ptp(calmed(0.5 + 0.01 * rng.normal(size=50), np.full(50, 0.04))) == 0, "less spread than the noise has"


def test_scores_and_gaps_of_several_seeds_are_those_of_the_mean():
    every = [rows(seed=1)[0], *(np.where(np.random.default_rng(seed).random(600) < 0.3, 0, rows(seed=1)[1])
                                for seed in range(2))]  # fmt: skip
    _, y, g, _ = rows(seed=1)
    found = report.groups(every, y, g)

    def mean(values):
        return sum(values) / len(values)

    score = {name: mean([mean(p[g == name] == y[g == name]) for p in every]) for name in "abc"}
    rates = {truth: [mean([mean(p[(g == name) & (y == truth)]) for p in every]) for name in "abc"] for truth in (0, 1)}
    assert {r.name: r.score.value for r in found.rows} == pytest.approx(score)
    assert found.worst == min(score, key=score.get) and found.worst_score.value == pytest.approx(min(score.values()))
    assert found.gap.value == pytest.approx(max(score.values()) - min(score.values()))
    assert found.equalized_odds.value == pytest.approx(max(max(r) - min(r) for r in rates.values()))


def test_the_lowest_share():
    hits, counts = np.array([50, 80, 85]), np.array([100, 100, 100])
    alone = stats.beta.ppf([0.025, 0.975], [50.5, 50.5], [50.5, 50.5])  # far from the others: a share like any other
    assert lowest(hits, counts, 0)[1:] == pytest.approx(alone, abs=0.01)
    small = lowest(np.array([50, 520]), np.array([100, 1000]), 0)
    assert small.low == pytest.approx(0.41, abs=0.02), "the small group may be lower, the large one not as much"
    tied = lowest(np.array([50, 50, 50, 50]), counts[[0, 0, 0, 0]], 0)
    assert tied.high > 0.6 and tied.value == 0.5, "the lowest of four is too low by chance"


def test_no_gap_is_not_refused_and_a_gap_is():
    p, y, g, _ = rows()
    assert report.groups(p, y, g).equalized_odds.low > 0.1 and report.groups(p, y, g).gap.low > 0.1
    p, y, g, _ = rows(harmed=None)
    fair = report.groups(p, y, g)
    assert fair.equalized_odds.low == fair.gap.low == 0 and fair.equalized_odds.value > 0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1], [1, 0], ["a", "b"]), {}, "one entry for each row, got shapes"),
        (([1], [-1], ["a"]), {}, "at least one label"),
        (([[1], [0]], [1], ["a"]), {"before": [1]}, r"Several seeds are the first axis"),
        (([1, 0], [1, 0], ["a", "b"]), {"positive": 7}, "`positive` must be one of the labels 0, 1, got 7"),
        (([0.3, 0.9], [1, 0], ["a", "b"]), {}, "`predictions` must be classes.*float64.*largest probability"),
        (([1, 0], [1, math.nan], ["a", "b"]), {}, "`labels` must be classes.*-1 for a missing label"),
        (([1, 0], [1, 0], ["a", "b"]), {"before": [0.5, 1]}, "`before` must be classes"),
        ((["1", "0"], [1, 0], ["a", "b"]), {}, "of one kind, got names and numbers"),
        (([[1, 0], [1]], [1, 0], ["a", "b"]), {}, "`predictions` must have the same number of rows for each seed"),
        ((np.zeros((0, 2)), [1, 0], ["a", "b"]), {}, "one entry for each row"),
        (([1, 0], [1, 0], ["a", None]), {}, "`groups` must name the group of each row, got None or NaN"),
        (([1, 0], [1, 0], [1.0, math.nan]), {}, "`groups` must name the group of each row, got None or NaN"),
    ],
)
def test_doors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        report.groups(*arguments, **options)


@pytest.mark.parametrize(
    ("labels", "before", "names", "message"),
    [
        ([0, 1], [0, 1], ["a"], "a name for each class, got 1 names and classes from 0 to 1"),
        (["x", "y"], ["x", "y"], ["a", "b"], "got 2 names and classes from x to y"),
        ([0, 1], None, None, "`before` must be the predictions of the other model, got None"),
    ],
)
def test_doors_of_classes(labels, before, names, message):
    with pytest.raises(ValueError, match=message):
        report.per_class(labels, labels, before, names)


def test_names_may_be_objects_as_in_a_column_of_pandas():
    p, y, g, before = rows()
    found = report.groups(p, y, np.array(g, object), before=before)
    assert found == report.groups(p, y, g, before=before)
    words = np.array(["no", "yes"], object)
    assert report.groups(words[p], words[y], g, before=words[before]) == found
