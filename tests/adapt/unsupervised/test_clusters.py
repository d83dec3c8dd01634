"""Clusters, their number and their scores: against slow values, and at the doors."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch

from adapt import unsupervised
from adapt.unsupervised._scan import scan_loss


def blobs(centres=4, rows=40, spread=0.15, seed=0):
    g = np.random.default_rng(seed)
    means = 3 * np.stack([np.cos(np.arange(centres)), np.sin(np.arange(centres)), np.arange(centres) % 2], 1)
    y = np.repeat(np.arange(centres), rows)
    return means[y] + spread * g.normal(size=(len(y), 3)), y


def moons(rows=100, seed=0):
    g = np.random.default_rng(seed)
    angle = np.pi * g.random(2 * rows)
    y = np.repeat([0, 1], rows)
    x = np.stack([np.cos(angle) + y, np.where(y, 0.4 - np.sin(angle), np.sin(angle))], 1)
    return x + 0.05 * g.normal(size=x.shape), y


FINDERS = {
    "k-means": unsupervised.cluster,
    "spectral": lambda x, k, **o: unsupervised.cluster(x, k, method="spectral", **o),
    "scan": partial(unsupervised.scan, steps=30),
}


# ---- clusters ----


@pytest.mark.parametrize("name", FINDERS)
def test_clear_clusters_are_found_at_any_scale_and_from_any_array(name):
    x, y = blobs()
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = FINDERS[name](x, 4)
    assert found.dtype == torch.int64 and unsupervised.cluster_scores(found, y).ari == 1
    assert torch.equal(state[0], torch.get_rng_state()) and (state[1] == np.random.get_state()[1]).all()
    for other in (1e-20 * x, 1e20 * x, torch.tensor(x, requires_grad=True), x[::-1][::-1], x.tolist()):
        assert unsupervised.cluster_scores(FINDERS[name](other, 4), y).ari == 1
    for kind in (torch.float16, torch.bfloat16):
        assert unsupervised.cluster_scores(FINDERS[name](torch.tensor(x).to(kind), 4), y).ari == 1
    with torch.no_grad():
        assert torch.equal(FINDERS[name](x, 4), found), "the same seed gives the same clusters"


def test_spectral_clusters_follow_curves_and_k_means_does_not():
    x, y = moons()
    scores = {
        m: unsupervised.cluster_scores(unsupervised.cluster(x, 2, method=m), y).ari for m in ("spectral", "k-means")
    }
    assert scores["spectral"] > 0.95 > 0.6 > scores["k-means"]


@pytest.mark.parametrize("name", FINDERS)
def test_degenerate_rows_have_clusters(name):
    equal = FINDERS[name](torch.ones(12, 3), 3)
    assert equal.shape == (12,) and int(equal.max()) < 3
    assert FINDERS[name](torch.zeros(5, 2), 1).tolist() == [0] * 5
    assert sorted(FINDERS[name](np.eye(3), 3, neighbours=2).tolist()) in ([0, 1, 2], [0, 0, 1], [0, 0, 0])


def test_the_loss_of_scan_is_agreement_with_a_neighbour_and_balance():
    g = np.random.default_rng(0)
    p, near = (z / z.sum(1, keepdims=True) for z in g.random((2, 7, 3)))
    agreement = sum(math.log(sum(p[i, k] * near[i, k] for k in range(3))) for i in range(7)) / 7
    entropy = -sum(m * math.log(m) for m in p.mean(0))
    found = scan_loss(torch.from_numpy(p).log(), torch.from_numpy(near).log(), 5.0).item()
    assert found == pytest.approx(-agreement - 5 * entropy, rel=1e-12)


def test_scan_makes_clusters_more_equal_than_k_means():
    """The balance acts: without balance the small cluster stays small, with a large one rows move there."""
    x = np.random.default_rng(0).normal(size=(200, 2)) * 0.3 + [[1, 1]]
    x[:15] += [2, -1]
    sizes = {b: int(torch.bincount(unsupervised.scan(x, 2, balance=b)).min()) for b in (0.0, 20.0)}
    assert sizes[20.0] > sizes[0.0] and sizes[20.0] > 60


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(name, bad):
    x, _ = blobs()
    x[3, 1] = bad
    for refuses in (FINDERS[name], lambda x, k: unsupervised.number_of_clusters(x)):
        with pytest.raises(ValueError, match="must be finite, got 1 of 160 rows"):
            refuses(x, 4)


@pytest.mark.parametrize("name", FINDERS)
def test_shapes_and_options_are_checked(name):
    for shape in ((0, 3), (5,), (5, 0), (2, 3, 4)):
        with pytest.raises(ValueError, match="`features` must be"):
            FINDERS[name](np.zeros(shape), 1)
    with pytest.raises(ValueError, match="`clusters` must be at most the 3 rows, got 4"):
        FINDERS[name](np.eye(3), 4)
    with pytest.raises(ValueError, match="`method` must be one of"):
        unsupervised.cluster(np.eye(3), 2, method="dbscan")


# ---- scores ----


def pairs_index(a, b):
    """The adjusted Rand index, counted pair by pair."""
    n, both, one, other = len(a), 0, 0, 0
    for i, j in itertools.combinations(range(n), 2):
        same = a[i] == a[j], b[i] == b[j]
        both, one, other = both + all(same), one + same[0], other + same[1]
    expected = one * other / math.comb(n, 2)
    return (both - expected) / ((one + other) / 2 - expected)


def test_scores_equal_slow_values():
    g = np.random.default_rng(1)
    y = g.integers(0, 3, 40)
    c = np.where(g.random(40) < 0.3, g.integers(0, 4, 40), y)
    found = unsupervised.cluster_scores(c, y)
    share = lambda *parts: np.mean(np.all(parts, 0))  # noqa: E731
    mutual = sum(
        p * np.log(p / share(c == a) / share(y == b))
        for a in range(4)
        for b in range(3)
        if (p := share(c == a, y == b))
    )
    entropies = [-sum(p * np.log(p) for k in range(4) if (p := share(z == k))) for z in (c, y)]
    best = max(np.mean([m[a] == b for a, b in zip(c, y, strict=True)]) for m in itertools.permutations([0, 1, 2, None]))
    assert found.ari == pytest.approx(pairs_index(c, y)) and found.nmi == pytest.approx(2 * mutual / sum(entropies))
    assert found.accuracy == pytest.approx(best) and found.n == 40 and found.ami < found.nmi


def test_rows_without_a_class_do_not_count_and_names_are_labels():
    whole = unsupervised.cluster_scores([0, 0, 1, 1], ["b", "b", "a", "b"])
    for labels in ([7, 7, 2, 7, -1], np.array([7.0, 7, 2, 7, -1]), torch.tensor([7, 7, 2, 7, -1], dtype=torch.int8)):
        assert unsupervised.cluster_scores(np.array([0, 0, 1, 1, 1], dtype=np.uint8), labels) == whole
    assert whole.n == 4 and whole.accuracy == 0.75
    assert unsupervised.cluster_scores([True, True, False, False], [1, 1, 0, 1]) == whole
    assert unsupervised.cluster_scores([0], ["only"]).ari == 1


@pytest.mark.parametrize(
    ("clusters", "labels", "said"),
    [
        ([0, 1], [0], "same rows, got 2 and 1"),
        ([0, -1], [0, 1], "`clusters` must give each row a cluster"),
        ([0, 1], [-1, -1], "`labels` must have a row with a class"),
        ([0, 1], [0.5, 1.0], "`labels` must be texts or whole numbers"),
        ([0, 1], [0.0, float("nan")], "`labels` must be texts or whole numbers"),
        ([], [], "`clusters` must be"),
        ([[0, 1]], [0, 1], "`clusters` must be"),
        ([0, 1], [None, 1], "`labels` must be texts or whole numbers"),
    ],
)
def test_wrong_groupings_are_refused(clusters, labels, said):
    with pytest.raises(ValueError, match=said):
        unsupervised.cluster_scores(clusters, labels)


# ---- how many ----


def test_the_number_of_clear_clusters_is_estimated():
    for centres in (2, 4, 6):
        found = unsupervised.number_of_clusters(blobs(centres)[0], range(2, 9), splits=6)
        assert found.value == centres and found.interval[0] <= centres <= found.interval[1]
        assert set(found.strength) == set(range(2, 9)) and found.strength[centres] > 0.8
    assert str(found).startswith("6 clusters (95 % interval")


def test_one_cloud_is_one_cluster():
    cloud = np.random.default_rng(0).normal(size=(200, 5))
    found = unsupervised.number_of_clusters(cloud, range(2, 6), splits=6)
    assert found.value == 1 and max(found.strength.values()) < 0.8


def test_strength_is_the_share_of_pairs_in_the_worst_cluster():
    from adapt.unsupervised._number_of_clusters import _strength

    own, other = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([5, 5, 5, 3, 0, 0, 1])
    shares = []
    for c in (0, 1):
        rows = [i for i in range(7) if own[i] == c]
        pairs = list(itertools.permutations(rows, 2))
        shares.append(sum(other[i] == other[j] for i, j in pairs) / len(pairs))
    assert _strength(own, other) == min(shares) == 0.5


def test_few_rows_limit_the_candidates():
    found = unsupervised.number_of_clusters(np.random.default_rng(0).normal(size=(7, 2)), splits=2)
    assert set(found.strength) == {2, 3}
    with pytest.raises(ValueError, match="`candidates` must have a number of at most half of the 4 rows"):
        unsupervised.number_of_clusters(np.eye(4), [3])
    with pytest.raises(ValueError, match="n >= 4"):
        unsupervised.number_of_clusters(np.eye(3))
