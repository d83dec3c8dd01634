"""Ranks and the critical difference: Demšar's example, scipy, autorank and scikit-posthocs."""

import numpy as np
import pytest
from scipy import stats

from adapt import report

# Demšar 2006, table 6: areas under the ROC curve of C4.5 and three variants on 14 data sets
DEMSAR = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
}


def random_scores(seed, methods=5, tasks=12):
    rng = np.random.default_rng(seed)
    quality = rng.normal(0, 0.05, methods)
    return {f"m{i}": (quality[i] + rng.normal(0, 0.05, tasks)).round(2).tolist() for i in range(methods)}


def test_the_example_of_the_paper():
    found = report.critical_difference(DEMSAR)
    ranks = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert found.ranks == pytest.approx(ranks, abs=1e-3) and found.tasks == 14
    assert found.distance == pytest.approx(1.25, abs=0.01)  # the paper's CD at 0.05
    assert found.cliques == [["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]]


@pytest.mark.parametrize("seed", range(3))
def test_friedman_is_scipys(seed):
    scores = random_scores(seed)
    found = report.critical_difference(scores)
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*scores.values()).pvalue, rel=1e-9)
    negative = {m: [-v for v in values] for m, values in scores.items()}
    assert report.critical_difference(negative, higher_is_better=False) == found


@pytest.mark.parametrize("seed", range(3))
def test_the_distance_is_autoranks(seed):
    autorank = pytest.importorskip("autorank", reason="autorank, an oracle of the extra `dev`, is not installed")
    pandas = pytest.importorskip("pandas")
    scores = random_scores(seed)
    theirs = autorank.autorank(pandas.DataFrame(scores), force_mode="nonparametric")
    found = report.critical_difference(scores)
    assert found.distance == pytest.approx(theirs.cd, rel=1e-3)
    assert found.ranks == pytest.approx(theirs.rankdf["meanrank"].to_dict())


@pytest.mark.parametrize("seed", range(3))
def test_the_cliques_are_what_nemenyis_p_values_say(seed):
    posthocs = pytest.importorskip("scikit_posthocs", reason="scikit-posthocs, an oracle of `dev`, is not installed")
    scores = random_scores(seed)
    found = report.critical_difference(scores)
    p = posthocs.posthoc_nemenyi_friedman(np.array(list(scores.values())).T)
    names = list(scores)
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            together = any(a in clique and b in clique for clique in found.cliques)
            assert together == (p.iloc[i, j] > 0.05), (a, b)


def test_cliques_by_hand():
    ranks = {"a": [4, 4, 4, 4] * 20, "b": [3, 3, 3, 3] * 20, "c": [2, 1, 2, 1] * 20, "d": [1, 2, 1, 2] * 20}
    assert report.critical_difference(ranks).cliques == [["c", "d"]]
    same = report.critical_difference({"a": [1, 1], "b": [1, 1], "c": [1, 1]})
    assert same.friedman_p == 1 and same.cliques == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": [1, 2]}, "two or more methods"),
        ({"a": [1], "b": [2]}, "two or more tasks"),
        ({"a": [1, 2], "b": [2]}, "same two or more tasks"),
        ({"a": [1, 2], "b": [2, float("nan")]}, "must be finite"),
    ],
)
def test_doors(scores, message):
    with pytest.raises(ValueError, match=message):
        report.critical_difference(scores)
