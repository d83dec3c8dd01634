"""From outputs to the words of the user, for the kinds of outputs that the tests of models do not reach."""

import numpy
import torch
from torch import nn

from adapt.engine.answers import are_numbers, named, per_row


class Named(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.names = names


BOXES = {"boxes": [torch.ones(2, 4), torch.zeros(0, 4)], "classes": [torch.tensor([1, 0]), torch.tensor([]).long()]}


def test_classes_of_boxes_become_names():
    first, second = named(Named(["cell", "platelet"]), BOXES)
    assert first["classes"].tolist() == ["platelet", "cell"] and set(first) == {"boxes", "classes"}
    assert first["boxes"].shape == (2, 4) and second["classes"].tolist() == []


def test_classes_of_boxes_without_names_stay_numbers():
    for head in (Named(["0", "1"]), nn.Identity()):
        assert named(head, BOXES)[0]["classes"].tolist() == [1, 0]


def test_other_trees_stay_as_they_are():
    rows = named(Named(["a", "b"]), {"classes": torch.tensor([[0.5], [1.5]]), "words": ["x", "y"]})
    assert [row["words"] for row in rows] == ["x", "y"] and rows[1]["classes"].tolist() == [1.5]
    assert named(Named(["a", "b"]), ["x", "y"]) == ["x", "y"]


def test_rows_of_trees():
    rows = per_row(({"a": torch.arange(2)}, [torch.ones(1), (torch.zeros(1), "z")]))
    assert len(rows) == 2 and rows[1][0] == {"a": 1} and rows[1][1][1] == "z"
    assert isinstance(rows[0][1], numpy.ndarray) and isinstance(rows[1][1][0], numpy.ndarray)


def test_labels_pixels_and_values():
    head = Named(["a", "b"])
    assert named(head, torch.tensor([[True, False], [True, True]])) == [["a"], ["a", "b"]]
    assert named(head, torch.ones(1, 2, 2).long()).dtype.kind == "i"
    assert named(head, torch.tensor([0.25])).tolist() == [0.25]
    assert named(head, torch.tensor([1, 0])).tolist() == ["b", "a"]
    assert are_numbers(None) and are_numbers(["0", "1"]) and not are_numbers(["1", "0"])
