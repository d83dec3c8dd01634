import math

import numpy
import pytest
from skactiveml.pool import MaxHerding

from adapt.fewshot import strategies
from tests.adapt.fewshot.strategies.pools import SEEDS, arrays, by_scikit_activeml, pool


def gains(a, bandwidth, known):
    """Return the gain of each row by the formula, as if the rows `known` had labels."""
    x = [row / numpy.linalg.norm(row) for row in arrays(a)[0]]
    k = [[math.exp(-((g - f) @ (g - f)) / (2 * bandwidth**2)) for g in x] for f in x]
    covered = [max((k[j][i] for i in known), default=0) for j in range(len(x))]
    return [sum(max(k[j][i] - covered[j], 0) for j in range(len(x))) for i in range(len(x))]


@pytest.mark.parametrize("block", [1, 4, 256])  # 1 looks at one row at a time, 256 at all rows
@pytest.mark.parametrize(("labelled", "bandwidth"), [(0, 1.0), (5, 0.3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_row_has_the_largest_gain(seed, labelled, bandwidth, block, monkeypatch):
    """Two rows that cover each other alone have the same gain: the largest gain is compared, not the row."""
    monkeypatch.setattr(strategies._max_herding, "BLOCK", block)
    a = pool(seed, labelled=labelled)
    known = arrays(a)[2]
    for pick in strategies.max_herding(a, bandwidth=bandwidth).tolist():
        gain = gains(a, bandwidth, known)
        assert gain[pick] == pytest.approx(max(gain), rel=1e-12) and pick not in known
        known = [*known, pick]


@pytest.mark.parametrize("labelled", [0, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_scikit_activeml(seed, labelled):
    a = pool(seed, labelled=labelled, budget=4)
    theirs = MaxHerding(metric="rbf", metric_dict={"gamma": 0.5}, random_state=0)
    assert strategies.max_herding(a).tolist() == by_scikit_activeml(theirs, a)
