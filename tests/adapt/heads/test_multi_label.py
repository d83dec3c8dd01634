"""Several labels per row."""

import pytest
import torch

from adapt import heads


def test_multi_label():
    head = heads.MultiLabel(4, ["red", "round", "ripe"])
    assert head(torch.zeros(5, 4)).shape == (5, 3)
    logits, labels = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, 1.0]]), torch.tensor([[1, 0, 1], [1, 0, 0]])
    assert head.score(head.measure(logits, labels)).value == pytest.approx((3 / 3 + 1 / 3) / 2)
    expected = -torch.log(torch.where(labels == 1, logits.sigmoid(), 1 - logits.sigmoid())).mean()
    torch.testing.assert_close(head.loss(logits, labels), expected)
    head.check(labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: heads.MultiLabel(3, 2).check(torch.tensor([[0, 2]])),
            "0, 1, or -1 or NaN.*found 2",
        ),
        (lambda: heads.MultiLabel(3, 2).check(torch.tensor([0, 1])), r"must be \(2, 2\)"),
        (lambda: heads.MultiLabel(3, []), "at least 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
