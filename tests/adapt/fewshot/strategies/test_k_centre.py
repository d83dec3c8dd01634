import numpy
import pytest
from skactiveml.pool import CoreSet

from adapt.fewshot import strategies
from tests.adapt.fewshot.strategies.pools import SEEDS, arrays, by_scikit_activeml, pool


def slow(a):
    x, _, known, left = arrays(a)
    picks = []
    for _ in range(a.budget):
        if not known:
            far = {i: -numpy.linalg.norm(x[i] - x.mean(0)) for i in left}
        else:
            far = {i: min(numpy.linalg.norm(x[i] - x[j]) for j in known) for i in left}
        pick = max(left, key=far.get)
        picks.append(pick)
        known, left = [*known, pick], [i for i in left if i != pick]
    return picks


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("labelled", [0, 5])
def test_equal_to_the_formula(seed, labelled):
    a = pool(seed, labelled=labelled)
    assert strategies.k_centre(a).tolist() == slow(a)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_scikit_activeml_where_there_are_labelled_rows(seed):
    """Without labelled rows scikit-activeml begins with a row by chance."""
    a = pool(seed)
    assert strategies.k_centre(a).tolist() == by_scikit_activeml(CoreSet(random_state=0), a)


def test_labelled_rows_in_blocks(monkeypatch):
    a = pool(labelled=11)
    whole = strategies.k_centre(a)
    monkeypatch.setattr(strategies._k_centre, "BLOCK", 3)
    assert strategies.k_centre(a).equal(whole)
