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


def tokens(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5, 4, 3, generator=g, dtype=dtype), torch.randint(3, (5, 4), generator=g)
    labels[torch.rand(5, 4, generator=g) < 0.4] = -1
    labels[2] = -1
    return logits.requires_grad_(), labels


def test_token_classifier():
    head = heads.TokenClassifier(6, ["noun", "verb", "other"])
    assert head(torch.zeros(5, 4, 6)).shape == (5, 4, 3)
    logits, labels = tokens()
    values = [
        -logits[i, j].log_softmax(0)[labels[i, j]] for i in range(5) for j in range(4) if labels[i, j] != head.missing
    ]
    loss, expected = head.loss(logits, labels), torch.stack(values).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    ours, theirs = (torch.autograd.grad(value, logits)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-15)
    assert ours[labels == -1].eq(0).all()
    torch.testing.assert_close(head.loss(logits.bfloat16().float(), labels).double(), expected, rtol=1e-2, atol=0)
    assert head.loss(logits, torch.full_like(labels, -1)) == 0
    assert torch.autograd.gradcheck(lambda z: head.loss(z, labels), logits)
    head.check(labels)
    head.check(torch.full_like(labels, -1))
    other = heads.TokenClassifier(6, 3, missing=-100)
    assert other.loss(logits, labels.masked_fill(labels == -1, -100)) == loss


def test_the_interval_of_tokens_is_that_of_their_sentences():
    logits, labels = tokens()
    score = heads.TokenClassifier(6, 3).score(logits, labels)
    there = labels != -1
    hits = (logits.argmax(2) == labels)[there].double()
    assert score.value == pytest.approx(hits.mean().item()) and score.n == 4 and score.metric == "token accuracy"
    # sentences of one token: the interval of a mean
    t = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    ours, mean = heads.ratio("share", t, torch.ones(5)), heads.average("share", t, higher_is_better=True)
    assert (ours.low, ours.high) == (pytest.approx(mean.low), pytest.approx(mean.high))
    # a hundred equal tokens in each sentence say no more than one
    many = heads.ratio("share", 100 * t, torch.full((5,), 100.0))
    assert (many.low, many.high) == (pytest.approx(mean.low), pytest.approx(mean.high))
    assert heads.ratio("share", torch.ones(1), torch.ones(1)).high == float("inf")


def test_the_interval_of_a_ratio_holds_what_it_says():
    g = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(300):
        c = torch.randint(0, 30, (60,), generator=g)
        p = torch.rand(60, generator=g)  # tokens of a sentence are alike
        score = heads.ratio("share", torch.binomial(c.float(), p, generator=g), c)
        held += score.low < 0.5 < score.high
    assert 0.91 < held / 300 < 0.98


def test_confusion_leaves_padding_out():
    logits, labels = tokens()
    there = labels != -1
    assert torch.equal(heads.confusion(logits, labels), heads.confusion(logits[there], labels[there]))
    assert heads.confusion(logits, labels).sum() == there.sum()


def test_discriminator():
    assert heads.Discriminator(4, hidden=8)(torch.zeros(5, 4)).shape == (5,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Classifier(3, 1), "at least 2, got 1"),
        (lambda: heads.Classifier(3, 2)(torch.zeros(5, 4)), "must have size 3, got 4.*encoder.dim"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([0, 2])), r"in \[0, 2\).*found 0 to 2"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([-1, 1])), "found -1 to 1"),
        (
            lambda: heads.Classifier(3, 2).check(torch.tensor([[0], [1]])),
            r"integers, got shape \(2, 1\).*TokenClassifier",
        ),
        (lambda: heads.Regressor(3).check(torch.zeros(5, 1)), r"must be \(5,\), got \(5, 1\)"),
        (lambda: heads.Regressor(3, 2).check(torch.zeros(5)), r"must be \(5, 2\)"),
        (lambda: heads.MultiLabel(3, 2).check(torch.tensor([[0, 2]])), r"\(1, 2\) of 0 and 1.*0 to 2"),
        (lambda: heads.MultiLabel(3, 2).check(torch.tensor([0, 1])), r"must be \(2, 2\)"),
        (lambda: heads.MultiLabel(3, []), "at least 1"),
        (lambda: heads.TokenClassifier(3, 1), "at least 2, got 1"),
        (lambda: heads.TokenClassifier(3, 2, missing=1), "`missing` must be no class, got 1"),
        (lambda: heads.TokenClassifier(3, 2)(torch.zeros(5, 4, 4)), "must have size 3, got 4"),
        (lambda: heads.TokenClassifier(3, 2)(torch.zeros(5, 3)), r"must be \(n, length, 3\), got \(5, 3\)"),
        (lambda: heads.TokenClassifier(3, 2).check(torch.tensor([[0, 2, -1]])), r"in \[0, 2\), or -1 where.*0 to 2"),
        (lambda: heads.TokenClassifier(3, 2).check(torch.tensor([[0, -100]])), "another `missing`"),
        (lambda: heads.TokenClassifier(3, 2).check(torch.tensor([0, 1])), r"integers, got shape \(2,\)"),
        (lambda: heads.TokenClassifier(3, 2).check(torch.zeros(2, 2)), "of torch.float32"),
        (lambda: heads.ratio("share", torch.zeros(2), torch.zeros(2)), "at least one labelled row"),
        (lambda: heads.proportion("accuracy", torch.zeros(0)), "at least one labelled row"),
        (lambda: heads.average("error", torch.zeros(0), higher_is_better=False), "at least one labelled row"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
