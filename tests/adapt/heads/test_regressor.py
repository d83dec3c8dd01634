"""Numbers from features."""

import pytest
import torch

from adapt import heads


def test_regressor():
    one, three = heads.Regressor(4), heads.Regressor(4, 3)
    assert one(torch.zeros(5, 4)).shape == (5,) and three(torch.zeros(5, 4)).shape == (5, 3)
    score = one.score(one.measure(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 2.0])))
    assert score.value == 1 and not score.higher_is_better and score.low < 1 < score.high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Regressor(3).check(torch.zeros(5, 1)), r"must be \(5,\), got \(5, 1\)"),
        (lambda: heads.Regressor(3, 2).check(torch.zeros(5)), r"must be \(5, 2\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
