import numpy
import pytest
from skactiveml.pool import Clue
from sklearn.cluster import KMeans

from adapt.fewshot import strategies
from tests.adapt.fewshot.strategies.pools import SEEDS, arrays, by_scikit_activeml, pool


def slow(a, temperature):
    x, p, _, left = arrays(a)
    soft = [q ** (1 / temperature) / sum(q ** (1 / temperature)) for q in p[left]]
    weight = [-sum(q * numpy.log(q)) for q in soft]
    centres = KMeans(a.budget, n_init=1, random_state=a.seed).fit(x[left], sample_weight=weight).cluster_centers_
    picks = []
    for centre in centres:
        picks.append(min((i for i in left if i not in picks), key=lambda i: numpy.linalg.norm(x[i] - centre)))
    return picks


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_the_formula(seed, temperature):
    a = pool(seed)
    assert strategies.clue(a, temperature=temperature).tolist() == slow(a, temperature)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_scikit_activeml_from_the_same_clusters(seed):
    a = pool(seed)
    theirs = Clue(cluster_algo_dict={"random_state": seed, "n_init": 1}, random_state=0)
    assert strategies.clue(a).tolist() == by_scikit_activeml(theirs, a, classifier="estimator")


def test_the_weights_count():
    """The temperature changes the weights, and the weights change the rows."""
    found = [strategies.clue(pool(s), temperature=t).tolist() for s in SEEDS for t in (0.1, 10.0)]
    assert any(sorted(a) != sorted(b) for a, b in zip(found[::2], found[1::2], strict=True))
