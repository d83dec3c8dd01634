"""A class for each token."""

import pytest
import torch

from adapt import heads


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
    head = heads.TokenClassifier(6, 3)
    score = head.score(head.measure(logits, labels))
    there = labels != -1
    hits = (logits.argmax(2) == labels)[there].double()
    assert score.value == pytest.approx(hits.mean().item()) and score.n == 4 and score.metric == "token accuracy"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.TokenClassifier(3, 1), "at least 2, got 1"),
        (lambda: heads.TokenClassifier(3, 2, missing=1), "`missing` must be no class, got 1"),
        (lambda: heads.TokenClassifier(3, 2)(torch.zeros(5, 4, 4)), "must have size 3, got 4"),
        (lambda: heads.TokenClassifier(3, 2)(torch.zeros(5, 3)), r"must be \(n, length, 3\), got \(5, 3\)"),
        (
            lambda: heads.TokenClassifier(3, 2).check(torch.tensor([[0, 2, -1]])),
            "-1 where.*0 to 2.*another `missing`",
        ),
        (lambda: heads.TokenClassifier(3, 2).check(torch.tensor([[0, -100]])), "another `missing`"),
        (lambda: heads.TokenClassifier(3, 2).check(torch.tensor([0, 1])), r"integers, got shape \(2,\)"),
        (lambda: heads.TokenClassifier(3, 2).check(torch.zeros(2, 2)), "of torch.float32"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
