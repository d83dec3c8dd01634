import numpy
import pytest
import torch
from skactiveml.pool import TypiClust

from adapt.fewshot import query, strategies
from adapt.fewshot.strategies.clusters import k_means
from losses.fine_tuning.norm import unit
from tests.adapt.fewshot.strategies.pools import SEEDS, arrays, by_scikit_activeml, pool


def slow(a, neighbours):
    """Return the choice, and the clusters and typicalities of rows: two rows alone have the same typicality."""
    x, _, known, left = arrays(a)
    count = len(known) + a.budget
    cluster = k_means(unit(a.features), count, a.seed)[0].tolist()  # rounding can change a cluster
    x = [row / numpy.linalg.norm(row) for row in x]

    def typicality(i):
        far = sorted(numpy.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i and cluster[j] == cluster[i])
        return 1 / numpy.mean(far[:neighbours]) if far else numpy.inf

    labels = {c: sum(cluster[j] == c for j in known) for c in range(count)}
    order = sorted(range(count), key=lambda c: (labels[c], -cluster.count(c)))
    picks = []
    while len(picks) < a.budget:
        for c in order:
            rows = [i for i in left if cluster[i] == c and i not in picks]
            if rows and len(picks) < a.budget:
                picks.append(max(rows, key=typicality))
    return picks, lambda rows: ([cluster[i] for i in rows], pytest.approx([typicality(i) for i in rows]))


@pytest.mark.parametrize("neighbours", [2, 20])
@pytest.mark.parametrize(("labelled", "budget"), [(0, 4), (5, 7), (20, 20)])
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_the_formula(seed, labelled, budget, neighbours):
    a = pool(seed, labelled=labelled, budget=budget)
    expected, described = slow(a, neighbours)
    found = strategies.typiclust(a, neighbours=neighbours).tolist()
    (where, how), (clusters, typicality) = described(found), described(expected)
    assert where == clusters and how.expected == typicality


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_scikit_activeml_as_a_set(seed):
    """Without labelled rows, with 5 neighbours, and with the same clusters; equal sizes are in any order there."""
    a = pool(seed, n=60, labelled=0, budget=5)
    theirs = TypiClust(k=5, random_state=seed, cluster_algo_dict={"random_state": seed, "n_init": 1})
    found = strategies.typiclust(a, neighbours=5, unit_length=False).tolist()
    assert sorted(found) == sorted(by_scikit_activeml(theirs, a))


def test_in_blocks_and_with_more_clusters_than_500(monkeypatch):
    a = pool(n=60, labelled=0, budget=5)
    whole = strategies.typiclust(a)
    monkeypatch.setattr(strategies._typiclust, "BLOCK", 3)
    assert strategies.typiclust(a).equal(whole)
    monkeypatch.setattr(strategies._typiclust, "MOST_CLUSTERS", 2)
    found = strategies.typiclust(a)
    assert len(found.unique()) == 5 and not found.equal(whole)


def test_first_rows_are_typical_rows_of_all_classes():
    """Four clouds and four outliers: k-centre finds outliers, TypiClust one row of each cloud."""
    g = torch.Generator().manual_seed(0)
    x = torch.cat([0.3 * torch.randn(4, 25, 2, generator=g).view(100, 2), 20 * torch.eye(4)[:, :2]])
    x[:100] += 5 * torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]).repeat_interleave(25, 0)
    assert sorted((query(x[:100], None, [], 4, "typiclust") // 25).tolist()) == [0, 1, 2, 3]
    assert (query(x, None, [0], 2, "k_centre") >= 100).all()
