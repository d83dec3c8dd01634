"""Heads and their scores."""

import pytest
import torch
from scipy.stats import binomtest

from adapt import heads


def test_classifier():
    head = heads.Classifier(3, ["cat", "dog"])
    assert head.names == ["cat", "dog"] and head(torch.zeros(5, 3)).shape == (5, 2)
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1])
    score = head.score(logits, labels)
    assert str(score) == "accuracy 0.667 (95 % interval 0.208 to 0.939, n = 3)"
    assert heads.confusion(logits, labels).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (7, 10), (10, 10), (430, 898)])
def test_the_interval_is_wilsons(hits, n):
    score = heads.proportion("accuracy", torch.arange(n) < hits)
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert (score.low, score.high) == (pytest.approx(expected.low, abs=1e-6), pytest.approx(expected.high, abs=1e-6))


def test_regressor():
    one, three = heads.Regressor(4), heads.Regressor(4, 3)
    assert one(torch.zeros(5, 4)).shape == (5,) and three(torch.zeros(5, 4)).shape == (5, 3)
    score = one.score(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 2.0]))
    assert score.value == 1 and not score.higher_is_better and score.low < 1 < score.high
    assert heads.average("error", torch.ones(1), higher_is_better=False).high == float("inf")


def test_multi_label():
    head = heads.MultiLabel(4, ["red", "round", "ripe"])
    assert head(torch.zeros(5, 4)).shape == (5, 3)
    logits, labels = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, 1.0]]), torch.tensor([[1, 0, 1], [1, 0, 0]])
    assert head.score(logits, labels).value == pytest.approx((3 / 3 + 1 / 3) / 2)
    expected = -torch.log(torch.where(labels == 1, logits.sigmoid(), 1 - logits.sigmoid())).mean()
    torch.testing.assert_close(head.loss(logits, labels), expected)
    head.check(labels)


def test_discriminator():
    assert heads.Discriminator(4, hidden=8)(torch.zeros(5, 4)).shape == (5,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Classifier(3, 1), "at least 2, got 1"),
        (lambda: heads.Classifier(3, 2)(torch.zeros(5, 4)), "must have size 3, got 4.*encoder.dim"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([0, 2])), r"in \[0, 2\).*found 0 to 2"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([-1, 1])), "found -1 to 1"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([[0], [1]])), r"integers, got shape \(2, 1\)"),
        (lambda: heads.Regressor(3).check(torch.zeros(5, 1)), r"must be \(5,\), got \(5, 1\)"),
        (lambda: heads.Regressor(3, 2).check(torch.zeros(5)), r"must be \(5, 2\)"),
        (lambda: heads.MultiLabel(3, 2).check(torch.tensor([[0, 2]])), r"\(1, 2\) of 0 and 1.*0 to 2"),
        (lambda: heads.MultiLabel(3, 2).check(torch.tensor([0, 1])), r"must be \(2, 2\)"),
        (lambda: heads.MultiLabel(3, []), "at least 1"),
        (lambda: heads.proportion("accuracy", torch.zeros(0)), "at least one labelled row"),
        (lambda: heads.average("error", torch.zeros(0), higher_is_better=False), "at least one labelled row"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
