"""The order of candidates, the intervals, and refusals."""

import math

import pytest
import torch

from adapt import ranking
from tests.adapt.ranking.rows import blobs, candidates, few, normal, softmax_rows


def test_rank():
    encoders, y = candidates()
    found = ranking.rank(encoders, y, scores=[ranking.knn, ranking.logme, ranking.leep], halves=4)
    assert [row.name for row in found.rows] == ["signal 3.0", "signal 1.0", "signal 0.3", "collapsed"]
    best, last = found.rows[0], found["collapsed"]
    assert best.first > 0.9 and sum(row.first for row in found.rows) == pytest.approx(1)
    for score in ("knn", "logme"):
        s = best.scores[score]
        assert s.low <= s.value <= s.high and math.isfinite(s.low)
    assert last.scores == {} and "does not tell the inputs apart" in last.refused["knn"]
    text = str(found)
    assert "signal 3.0" in text.splitlines()[1] and "knn" in text.splitlines()[0]
    assert text.count("own head") == 1  # the reason once, with the names
    assert ranking.rank(encoders, y, scores=[ranking.knn, ranking.logme], by=ranking.logme, halves=4).by == "logme"


def test_rank_defaults():
    encoders, y = candidates()
    assert set(ranking.rank(encoders, y, halves=0).rows[0].scores) == {"knn", "ridge", "logme", "h_score"}
    head = ranking.Pretrained(blobs(90)[0], softmax_rows(90))
    assert {"leep", "nce"} < set(ranking.rank({"a": head}, y, halves=0).rows[0].scores)
    assert set(ranking.rank(encoders, values=normal(90), halves=0).rows[0].scores) == {"ridge", "logme"}


def test_own_score_and_intervals():
    """Both intervals against the standard error of a mean."""
    t = normal(200, seed=1)

    def whole(sample):
        return sample.Y.mean()

    def by_row(sample):
        return sample.Y[:, 0]

    row = ranking.rank({"a": normal(200, 2)}, values=t, scores=[whole, by_row], halves=400).rows[0]
    half = 1.96 * t.std().item() / math.sqrt(200)
    for score in row.scores.values():
        assert score.value == pytest.approx(t.mean().item())
        assert (score.high - score.low) / 2 == pytest.approx(half, rel=0.12)
    none = ranking.rank({"a": normal(200, 2)}, values=t, scores=[whole, by_row], halves=0, resamples=0)
    assert all(s.high == math.inf for s in none.rows[0].scores.values()) and "-" in str(none)


def test_rank_is_paired_and_repeats():
    encoders, y = candidates()
    first, second = (ranking.rank(encoders, y, halves=3, seed=4) for _ in range(2))
    assert str(first) == str(second)
    twins = ranking.rank({"a": encoders["signal 1.0"], "b": encoders["signal 1.0"]}, y, scores=[ranking.knn])
    assert [row.first for row in twins.rows] == [0.5, 0.5]


def test_rank_refuses():
    encoders, y = candidates()
    for arguments, message in [
        ({"candidates": {}}, "is empty"),
        ({"candidates": {"a": torch.ones(90, 2)}}, "no candidate can be ranked: all rows have the same"),
        ({"candidates": {"a": normal(80, 2)}}, "candidate `a`: `labels` must be"),
        ({"candidates": {"a": normal(90, 2) / 0}}, "candidate `a`: `features` must be finite"),
        ({"by": ranking.gbc}, "`by` must be one of"),
        ({"scores": [few, ranking.n_leep]}, "different names"),
        ({"scores": [ranking.leep]}, "own head"),
    ]:
        with pytest.raises(ValueError, match=message):
            ranking.rank(**({"candidates": encoders, "labels": y} | arguments))


def test_a_module_is_no_candidate_and_draws_are_counts():
    encoders, y = candidates()
    with pytest.raises(TypeError, match=r"candidate `a` must be \(n, d\) features, got a Linear: .*engine\.features\("):
        ranking.rank({**encoders, "a": torch.nn.Linear(6, 6)}, y)
    for name in ("resamples", "halves"):
        with pytest.raises(ValueError, match=f"`{name}` must be a whole number of at least 0, got -1"):
            ranking.rank(encoders, y, **{name: -1})
