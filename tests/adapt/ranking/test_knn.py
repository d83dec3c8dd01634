"""Nearest neighbours with equal votes."""

import pytest

from adapt import ranking
from tests.adapt.ranking.references import slow_knn
from tests.adapt.ranking.rows import blobs


@pytest.mark.parametrize("k", [1, 4])
def test_knn_with_ties(k):
    F, y = blobs(50, 4, 4, signal=0.5)
    assert ranking.knn(ranking.Sample(F, y), k=k, block=7).mean().item() == pytest.approx(slow_knn(F, y, k))
