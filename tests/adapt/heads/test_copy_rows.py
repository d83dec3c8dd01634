"""Rows of classes that two heads share."""

import pytest
import torch

from adapt import heads

OLD, NEW = ["O", "B-person", "I-person", "B-place"], ["B-place", "O", "B-poem", "I-person", "B-person"]


def pair(**options):
    torch.manual_seed(0)
    return [heads.TokenClassifier(6, names, **options) for names in (NEW, OLD)]


def test_shared_classes_answer_as_before_and_others_are_untouched():
    new, old = pair()
    kept = new.linear.weight[2].clone(), new.linear.bias[2].clone()
    assert heads.copy_rows(new, old) == ["B-place", "O", "I-person", "B-person"]
    x = torch.randn(3, 4, 6)
    torch.testing.assert_close(new(x)[..., [1, 4, 3, 0]], old(x))
    assert torch.equal(new.linear.weight[2], kept[0]) and new.linear.bias[2] == kept[1]
    assert new.linear.weight.requires_grad and new.linear.weight.grad_fn is None
    before = old.linear.weight.clone()
    new.linear.weight.data.zero_()
    assert torch.equal(old.linear.weight, before), "a copy"


def test_the_chain_of_shared_tags_is_copied():
    new, old = pair(crf=True)
    for head in (new, old):
        for part in (head.start, head.end, head.transitions):
            torch.nn.init.normal_(part)
    mixed = new.transitions[2].clone()
    heads.copy_rows(new, old)
    rows = torch.tensor([1, 4, 3, 0])  # the classes of OLD in NEW
    assert torch.equal(new.transitions[rows[:, None], rows], old.transitions)
    assert torch.equal(new.start[rows], old.start) and torch.equal(new.end[rows], old.end)
    assert torch.equal(new.transitions[2], mixed)
    assert heads.copy_rows(new, pair()[1]) and torch.equal(new.start[rows], old.start), "a head without a chain"


def test_other_names():
    new, old = heads.Classifier(3, ["lion", "dog"]), heads.Classifier(3, ["cat", "dog"])
    assert heads.copy_rows(new, old, names={"lion": "cat"}) == ["lion", "dog"]
    assert torch.equal(new.linear.weight, old.linear.weight)


@pytest.mark.parametrize(
    ("head", "start", "names", "error", "message"),
    [
        (heads.Regressor(3), heads.Classifier(3, 2), None, TypeError, "`head` must be .* got a Regressor"),
        (heads.Classifier(3, 2), torch.nn.Linear(3, 2), None, TypeError, "`start` must be .* got a Linear"),
        (heads.Classifier(3, 2), heads.Classifier(4, 2), None, ValueError, "got 3 and 4"),
        (heads.Classifier(3, ["a", "b"]), heads.Classifier(3, ["c", "d"]), None, ValueError, "give `names`"),
        (heads.Classifier(3, ["a", "b"]), heads.Classifier(3, ["c", "d"]), {"a": "x"}, ValueError, "'x' unknown"),
        (heads.Classifier(3, ["a", "b"]), heads.Classifier(3, ["c", "d"]), {"x": "c"}, ValueError, "'x' unknown"),
    ],
)
def test_doors(head, start, names, error, message):
    with pytest.raises(error, match=message):
        heads.copy_rows(head, start, names=names)
