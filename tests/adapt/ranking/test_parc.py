"""PARC of many rows."""

import pytest

from adapt import ranking
from tests.adapt.ranking.rows import blobs


def test_parc_of_many_rows_is_of_some_of_each_class():
    F, y = blobs(400, 6, signal=2.0)
    whole, some = (ranking.parc(ranking.Sample(F, y), rows=rows).item() for rows in (400, 150))
    assert some == pytest.approx(whole, abs=5) and some != whole
