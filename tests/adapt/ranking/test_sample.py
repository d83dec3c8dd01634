"""Features, labels and probabilities are checked when a sample is made."""

import pytest

from adapt import ranking


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0.0, 1.0, 0.0]}, "for numbers to predict give `values`"),
        ({"labels": [0, 1]}, r"must be \(3,\) classes"),
        ({}, "either `labels`"),
        ({"labels": [0, 1, 1], "values": [0.0, 1.0, 1.0]}, "either `labels`"),
        ({"values": [0.0, float("nan"), 1.0]}, "finite"),
        ({"labels": [0, 1, 1], "source": [[3.0, -1.0]] * 3}, "softmax"),
        ({"labels": [0, 1, 1], "source": [[1.0]]}, "rows of the features"),
        ({"labels": [0, 1, 1], "source": [0, 1]}, "rows of the features"),
        ({"labels": [0, 1, 1], "source": [0.0, 1.0, 1.0]}, "whole numbers"),
        ({"labels": [0, 1, 1], "source": [[float("nan"), 1.0]] * 3}, "finite"),
    ],
)
def test_bad_input_at_the_door(arguments, message):
    with pytest.raises(ValueError, match=message):
        ranking.Sample([[0.0], [1.0], [2.0]], **arguments)
