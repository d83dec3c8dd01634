"""Rows of a user with names of any kind become features and numbers of classes, or are refused."""

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import encoders
from adapt.engine.labelled_rows import encoded, labelled

ROWS = torch.arange(12.0).view(4, 3)


def known(support, names=None, classes=None):
    return labelled(encoders.wrap(nn.Identity(), 3), support, names, classes)


@pytest.mark.parametrize(
    "names", [["b", "a", "b", "c"], ("b", "a", "b", "c"), numpy.array(["b", "a", "b", "c"]), iter("babc")]
)
def test_names_are_sorted_and_numbered(names):
    found = known(ROWS, names)
    assert found.names == ["a", "b", "c"] and found.numbers.tolist() == [1, 0, 1, 2]
    assert torch.equal(found.features, ROWS)


@pytest.mark.parametrize("names", [torch.tensor([7, 5, 7, 5]), numpy.array([7, 5, 7, 5]), [7, 5, 7, 5]])
def test_whole_numbers_are_names(names):
    found = known(ROWS, names)
    assert found.names == ["5", "7"] and found.numbers.tolist() == [1, 0, 1, 0]


def test_numbers_are_sorted_as_numbers():
    assert known(ROWS, [10, 9, 10, 9]).names == ["9", "10"]


def test_classes_fix_the_order():
    found = known(ROWS, ["b", "a", "b", "a"], classes=["c", "b", "a"])
    assert found.names == ["c", "b", "a"] and found.numbers.tolist() == [1, 2, 1, 2]


def test_labels_of_the_data_set():
    found = known(TensorDataset(ROWS, torch.tensor([2, 0, 2, 0])))
    assert found.names == ["0", "1", "2"] and found.numbers.tolist() == [2, 0, 2, 0]
    assert known(TensorDataset(ROWS, torch.tensor([1, 0, 1, 0])), classes=["x", "y"]).names == ["x", "y"]


@pytest.mark.parametrize(
    "support, names, classes, error, message",
    [
        (ROWS, None, None, ValueError, r"^`names` must be given for rows without classes: one name for each row\.$"),
        (TensorDataset(ROWS, torch.rand(4)), None, None, ValueError, "must be given for rows without classes"),
        (TensorDataset(ROWS, torch.ones(4, 2).long()), None, None, ValueError, "must be given for rows without"),
        (ROWS, "baba", None, TypeError, r"^`names` must be a list with a name for each row, got 'baba'\.$"),
        (ROWS, 3, None, TypeError, "must be a list with a name for each row, got 3"),
        (
            ROWS, ["a", 1, "a", 1], None, TypeError,
            r"^`names` must be all texts or all whole numbers, one for each row, found int, str: convert the names, "
            r"and leave rows without a name out\.$",
        ),
        (ROWS, [True, False, True, False], None, TypeError, "found bool"),
        (ROWS, ["a", None, "a", "b"], None, TypeError, "found NoneType, str"),
        (ROWS, [0.5, 1.5, 0.5, 1.5], None, TypeError, "found float"),
        (ROWS, ["a", "b"], None, ValueError, r"^`names` must have one name for each of 4 rows, got 2\.$"),
        (
            ROWS, ["a", "b", "z", "y"], ["a", "b"], ValueError,
            r"^`names` must be among the `classes` \['a', 'b'\], found \['y', 'z'\]\.$",
        ),
        (ROWS, ["a", "b", "a", "b"], ["a", "b", "a"], ValueError, r"^`classes` must differ, got \['a', 'b', 'a'\]\.$"),
        (
            TensorDataset(ROWS, torch.tensor([-1, 0, 2, 0])), None, ["a", "b"], ValueError,
            r"^labels of `support` must be in \[0, 2\), found -1 to 2: leave rows without a label out, or give "
            r"`names`, one for each row\.$",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(support, names, classes, error, message):
    with pytest.raises(error, match=message):
        known(support, names, classes)


def test_features_that_are_no_finite_rows():
    whole = encoders.wrap(nn.Unflatten(1, (3, 1)), 3)
    with pytest.raises(ValueError, match=r"features of `it` must be .* got shape \(4, 3, 1\): pool the features\.$"):
        encoded(whole, ROWS, "`it`")
    bad = ROWS.clone()
    bad[2, 1] = torch.inf
    with pytest.raises(ValueError, match="got NaN or infinity: look at the rows"):
        encoded(encoders.wrap(nn.Identity(), 3), bad, "`it`")
