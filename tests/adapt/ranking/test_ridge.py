"""Ridge regression of values, and without a signal."""

import numpy
import pytest
import torch

from adapt import ranking
from tests.adapt.ranking.references import slow_ridge
from tests.adapt.ranking.rows import normal


def test_ridge_of_values():
    F = normal(40, 8)
    t = torch.stack([F @ normal(8, seed=1) + 0.3 * normal(40, seed=2), 100 * normal(40, seed=3)], 1)
    assert ranking.ridge(ranking.Sample(F, values=t)).mean().item() == pytest.approx(slow_ridge(F, t))


def test_ridge_without_signal_is_chance_and_not_below():
    y = torch.arange(90) % 3
    hits = [ranking.ridge(ranking.Sample(normal(90, 2, seed=s), y)).mean().item() for s in range(20)]
    assert 0.28 < numpy.mean(hits) < 0.38  # with the others' mean as intercept it is near 0
