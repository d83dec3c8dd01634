"""The figure of score against cost."""

import pytest

from adapt import ranking
from tests.adapt.ranking.rows import blobs, candidates


@pytest.mark.parametrize("cost", ["milliseconds", "flops", "parameters"])
def test_figure(cost, tmp_path):
    encoders, y = candidates()
    found = ranking.rank(encoders, y, halves=0)
    figure = found.figure(cost)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["signal 3.0", "signal 1.0", "signal 0.3"]
    xs, ys = axes.lines[-1].get_data()
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys)
    # signal 1.0 is slower and worse than signal 3.0, and has fewer parameters
    assert len(xs) == (2 if cost == "milliseconds" else 3)
    figure.savefig(tmp_path / "figure.png")
    with pytest.raises(ValueError, match="`cost` must be one of"):
        found.figure("dollars")
    with pytest.raises(ValueError, match="both a cost"):
        ranking.rank({"a": blobs(90)[0]}, y, halves=0).figure()
