"""Values with their intervals."""

import pytest
import torch
from scipy.stats import binomtest

from adapt import heads


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (7, 10), (10, 10), (430, 898)])
def test_the_interval_is_wilsons(hits, n):
    score = heads.proportion("accuracy", torch.arange(n) < hits)
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert (score.low, score.high) == (pytest.approx(expected.low, abs=1e-6), pytest.approx(expected.high, abs=1e-6))


def test_the_interval_of_one_row_is_infinite():
    assert heads.average("error", torch.ones(1), higher_is_better=False).high == float("inf")
    assert heads.ratio("share", torch.ones(1), torch.ones(1)).high == float("inf")


def test_a_ratio_of_rows_with_equal_parts_is_a_mean():
    # one part per row
    t = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    ours, mean = heads.ratio("share", t, torch.ones(5)), heads.average("share", t, higher_is_better=True)
    assert (ours.low, ours.high) == (pytest.approx(mean.low), pytest.approx(mean.high))
    # a hundred equal parts per row say no more than one part
    many = heads.ratio("share", 100 * t, torch.full((5,), 100.0))
    assert (many.low, many.high) == (pytest.approx(mean.low), pytest.approx(mean.high))


def test_the_interval_of_a_ratio_holds_what_it_says():
    g = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(300):
        c = torch.randint(0, 30, (60,), generator=g)
        p = torch.rand(60, generator=g)  # parts of a row are alike
        score = heads.ratio("share", torch.binomial(c.float(), p, generator=g), c)
        held += score.low < 0.5 < score.high
    assert 0.91 < held / 300 < 0.98


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.ratio("share", torch.zeros(2), torch.zeros(2)), "at least one labelled row"),
        (lambda: heads.proportion("accuracy", torch.zeros(0)), "at least one labelled row"),
        (lambda: heads.average("error", torch.zeros(0), higher_is_better=False), "at least one labelled row"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_units_are_summed_before_the_interval():
    t, c = torch.tensor([1.0, 0.0, 2.0, 1.0]), torch.tensor([1, 2, 2, 1])
    units = torch.tensor([7, 3, 7, 3])
    expected = heads.ratio("share", torch.tensor([1.0, 3.0]), torch.tensor([3, 3]))
    assert heads.ratio("share", t, c, units=units) == expected and expected.n == 2
    hits = torch.tensor([True, False, True, False])
    by_hits = heads.proportion("accuracy", hits, units=units)
    by_mean = heads.average("accuracy", hits.double(), higher_is_better=True, units=units)
    assert by_hits == by_mean and by_hits.n == 2 and by_hits.value == 0.5
    with pytest.raises(ValueError, match="one entry for each of the 4 rows, got 3"):
        heads.proportion("accuracy", hits, units=units[:3])


def test_the_interval_over_units_holds_what_it_says_and_the_interval_over_rows_does_not():
    """Persons differ: each has a probability of a hit, 0.6 on average, and 1 to 60 windows."""
    g = torch.Generator().manual_seed(0)
    head, held, held_by_rows = heads.Classifier(2, 2), 0, 0
    for _ in range(500):
        windows = torch.randint(1, 61, (80,), generator=g)
        person = torch.arange(80).repeat_interleave(windows)
        chance = 0.2 + 0.8 * torch.rand(80, generator=g)
        hits = torch.rand(len(person), generator=g) < chance[person]
        measures = {"label": hits.long(), "predicted": torch.ones_like(person), "confidence": torch.ones(len(person))}
        score, by_rows = head.score(measures, person), head.score(measures)
        assert score.value == pytest.approx(by_rows.value) and score.n == 80
        held += score.low < 0.6 < score.high
        held_by_rows += by_rows.low < 0.6 < by_rows.high
    assert 0.925 < held / 500 < 0.975
    assert held_by_rows / 500 < 0.6
