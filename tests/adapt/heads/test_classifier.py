"""Classes from features, and the counts of true and predicted classes."""

import pytest
import torch

from adapt import heads


def test_classifier():
    head = heads.Classifier(3, ["cat", "dog"])
    assert head.names == ["cat", "dog"] and head(torch.zeros(5, 3)).shape == (5, 2)
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1])
    score = head.score(head.measure(logits, labels))
    assert str(score) == "accuracy 0.667 (95 % interval 0.208 to 0.939, n = 3)"
    assert heads.confusion(logits, labels).tolist() == [[1, 0], [1, 1]]


def test_names_sizes_and_repr():
    head = heads.Classifier(4, classes=("cat", "dog"), dropout=0.25)
    assert head.names == ["cat", "dog"] and head.dim == 4 and head.classes == 2
    assert "in_features=4, out_features=2" in repr(head) and "p=0.25" in repr(head)


def test_confusion_leaves_padding_out():
    logits, labels = torch.randn(5, 4, 3), torch.randint(3, (5, 4))
    labels[2, 1:] = -1
    kept = labels != -1
    assert torch.equal(heads.confusion(logits, labels), heads.confusion(logits[kept], labels[kept]))
    assert heads.confusion(logits, labels).sum() == kept.sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Classifier(3, 1), "at least 2, got 1"),
        (lambda: heads.Classifier(3, 2)(torch.zeros(5, 4)), "must have size 3, got 4.*encoder.dim"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([0, 2])), r"in \[0, 2\).*found 0 to 2"),
        (lambda: heads.Classifier(3, 2).check(torch.tensor([-2, 1])), "or -1 where missing, found -2 to 1"),
        (
            lambda: heads.Classifier(3, 2).check(torch.tensor([[0], [1]])),
            r"integers, got shape \(2, 1\).*only column",
        ),
        (
            lambda: heads.Classifier(3, 2).check(torch.tensor([[0, 1], [1, 1]])),
            r"integers, got shape \(2, 2\).*TokenClassifier",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
