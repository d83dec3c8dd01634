"""Paired comparisons and their pictures."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from adapt import report
from adapt.heads import Score

SCORES = {"base": [0.5, 0.6, 0.55], "up": [0.61, 0.70, 0.66], "down": [0.4, 0.52, 0.43], "same": [0.5, 0.61, 0.54]}


def test_intervals_are_students_on_the_paired_differences():
    rows = {r.method: r for r in report.compare(SCORES, "base")}
    expected = stats.ttest_rel(SCORES["up"], SCORES["base"]).confidence_interval()
    assert (rows["up"].low, rows["up"].high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert rows["up"].difference == pytest.approx(np.mean(SCORES["up"]) - np.mean(SCORES["base"]))


def test_the_table_says_what_helped_and_what_harmed():
    lines = report.table(report.compare(SCORES, "base"), "base").splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in lines] == ["baseline", "helped", "harmed", "undecided"]
    assert "+10.7" in lines[1] and "55.0" in lines[0]


def test_the_verdict_is_corrected_for_all_comparisons_of_the_call():
    rng = np.random.default_rng(0)
    tasks = {t: {m: rng.normal(0.6 + 0.01 * i, 0.02, 5).tolist() for i, m in enumerate("xyz")} for t in ("one", "two")}
    rows = report.compare(tasks, "x")
    assert [(r.task, r.method) for r in rows] == [(t, m) for t in tasks for m in "xyz"]
    p = [stats.ttest_rel(tasks[t][m], tasks[t]["x"]).pvalue for t in tasks for m in "yz"]
    tested = [r for r in rows if r.verdict != "baseline"]
    assert [r.p for r in tested] == pytest.approx(p)
    order = sorted(range(4), key=p.__getitem__)
    expected = {i: min(1, max((4 - j) * p[order[j]] for j in range(k + 1))) for k, i in enumerate(order)}
    assert [r.adjusted for r in tested] == pytest.approx([expected[i] for i in range(4)])
    alone = report.compare({"a": [0.5, 0.6, 0.55], "b": [0.6, 0.72, 0.64]}, "a")[1]
    many = {"a": [0.5, 0.6, 0.55], "b": [0.6, 0.72, 0.64]} | {f"{i}": [0.5, 0.6, 0.5] for i in range(9)}
    among = report.compare(many, "a")[1]
    assert alone.verdict == "helped" and among.verdict == "undecided" and among.p == alone.p
    table = report.table(rows, "x").splitlines()
    assert table[0].startswith("| task | method |") and table[2].startswith("| one | x | ")


def power_of_two_sided_t(effect, n, level):
    edge, shift = stats.t.ppf(1 - level / 2, n - 1), effect * np.sqrt(n)
    return stats.nct.sf(edge, n - 1, shift) + stats.nct.cdf(-edge, n - 1, shift)


def test_seeds_that_would_decide_and_the_difference_that_these_decide():
    scores = {"base": [0.5, 0.6, 0.55, 0.52], "new": [0.51, 0.64, 0.56, 0.52], "other": [0.6, 0.7, 0.6, 0.7]}
    row = report.compare(scores, "base")[1]
    d = np.subtract(scores["new"], scores["base"])
    effect, level = d.mean() / d.std(ddof=1), 0.05 / 2
    enough = [power_of_two_sided_t(effect, n, level) >= 0.8 for n in (row.seeds_needed - 1, row.seeds_needed)]
    assert row.verdict == "undecided" and enough == [False, True]
    assert power_of_two_sided_t(row.detectable / d.std(ddof=1), 4, level) == pytest.approx(0.8, abs=1e-6)
    assert f"undecided ({row.seeds_needed} seeds would decide)" in report.table([row], "base")
    equal = report.compare({"base": [0.5, 0.6], "new": [0.5, 0.6]}, "base")[1]
    assert (equal.p, equal.verdict, equal.seeds_needed, equal.detectable) == (1, "undecided", None, None)


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "undecided"), (5, "undecided"), (6, "helped")])
def test_equal_differences_are_no_proof_with_few_seeds(seeds, verdict):
    """Scores of few rows give equal differences by chance: p = 0 would be a false alarm."""
    base = np.arange(seeds) / 10 + 0.1
    row = report.compare({"base": base.tolist(), "new": (base + 0.1).tolist()}, "base")[1]  # equal up to rounding
    assert (row.p, row.verdict, row.seeds_needed, row.detectable) == (2.0 ** (1 - seeds), verdict, None, None)


def test_scores_are_compared_by_the_value_that_the_user_names():
    def error(value, r2):
        return Score("mean absolute error", value, 0.0, 9.0, 5, higher_is_better=False, further={"R2": r2})

    scores = {"base": [error(2.0, 0.1), error(2.2, 0.2)], "up": [error(1.0, 0.5), error(1.21, 0.61)]}
    rows = report.compare(scores, "base")
    lines = report.table(rows, "base", metric="mean absolute error", percent=False).splitlines()
    assert "| mean absolute error | difference to base |" in lines[0] and "| 1.1 | -0.995 |" in lines[3]
    assert "helped" in lines[3] and report.compare(scores, "up")[0].verdict == "harmed"
    assert report.compare(scores, "base", score="R2")[1].difference == pytest.approx(0.405)
    plain = report.compare({"base": [2.0, 2.2], "up": [1.0, 1.21]}, "base", higher_is_better=False)
    assert plain == rows
    with pytest.raises(ValueError, match="`score` must be one of mean absolute error, R2, got 'R'"):
        report.compare(scores, "base", score="R")


def test_one_seed_has_no_interval():
    rows = report.compare({"a": [0.5], "b": [0.9]}, "a")
    assert "one seed: none" in report.table(rows, "a") and "undecided" in report.table(rows, "a")
    assert json.loads(json.dumps(report.as_dicts(rows)))[1]["low"] is None


@pytest.mark.parametrize(
    ("scores", "baseline", "message"),
    [
        (SCORES, "none", "`baseline`"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "a", "same seeds"),
        ({"a": []}, "a", "at least one"),
    ],
)
def test_bad_input(scores, baseline, message):
    with pytest.raises(ValueError, match=message):
        report.compare(scores, baseline)


def test_pictures(tmp_path):
    figure = Figure(layout="constrained")
    bars, features = figure.subplots(1, 2)
    report.accuracy_bars(bars, SCORES, baseline="base")
    assert [t.get_text() for t in bars.get_yticklabels()] == list(SCORES) and len(bars.patches) == 4
    rng = np.random.default_rng(0)
    clouds = {name: (rng.normal(size=(20, 5)), rng.integers(0, 3, 20)) for name in ("paper", "photo")}
    report.feature_map(features, clouds, title="t")
    places = [text.get_position() for text in features.texts]
    assert len(places) == 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.manifold.TSNE.fit_transform", None)
        report.feature_map(bars, clouds, title="again: page and picture compute the places once")
        assert [text.get_position() for text in bars.texts[-40:]] == places
        with pytest.raises(TypeError):
            report.feature_map(bars, clouds, title="other places", seed=1)
    assert report.save(figure, tmp_path / "a" / "b.png").read_bytes()[:4] == b"\x89PNG"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.png"]
