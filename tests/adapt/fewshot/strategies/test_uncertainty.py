import math

import pytest
from skactiveml.pool import UncertaintySampling

from adapt.fewshot import strategies
from tests.adapt.fewshot.strategies.pools import SEEDS, arrays, by_scikit_activeml, pool

UNSURE = {
    "margin": lambda p: sorted(p)[-2] - sorted(p)[-1],
    "entropy": lambda p: -sum(q * math.log(q) for q in p),
    "least_confident": lambda p: 1 - max(p),
}
THEIRS = {"margin": "margin_sampling", "entropy": "entropy", "least_confident": "least_confident"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", UNSURE)
def test_equal_to_the_formula_and_to_scikit_activeml(name, seed):
    a = pool(seed)
    _, p, _, left = arrays(a)
    expected = sorted(left, key=lambda i: -UNSURE[name](p[i]))[: a.budget]
    assert getattr(strategies, name)(a).tolist() == expected
    theirs = by_scikit_activeml(UncertaintySampling(method=THEIRS[name], random_state=0), a, classifier="clf")
    assert sorted(theirs) == sorted(expected)
