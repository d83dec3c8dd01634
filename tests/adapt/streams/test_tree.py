"""Trees of tensors are mapped, compared, stacked and put behind each other, and keep their kind."""

from collections import OrderedDict, UserDict, namedtuple
from types import MappingProxyType

import pytest
import torch

from adapt.streams.tree import concatenate, has_list, map_tensors, stack, structure, tensors

Pair = namedtuple("Pair", ["left", "right"])
TREES = {
    "tensor": torch.ones(2, 3),
    "dict": {"a": torch.ones(2, 3), "b": {"c": torch.zeros(2)}},
    "ordered": OrderedDict(a=torch.ones(2, 3)),
    "user": UserDict(a=torch.ones(2, 3)),  # as the batches of transformers are
    "namedtuple": Pair(torch.ones(2, 3), (torch.zeros(2), torch.ones(2))),
    "rows": [{"boxes": torch.ones(1, 4)}, {"boxes": torch.ones(2, 4)}],
    "text": {"text": ["one", "two"], "a": torch.ones(2)},
}


def kinds(tree):
    if isinstance(tree, dict | UserDict):
        return type(tree), {k: kinds(v) for k, v in tree.items()}
    return (type(tree), [kinds(v) for v in tree]) if isinstance(tree, tuple | list) else type(tree)


@pytest.mark.parametrize("name", TREES)
def test_trees_keep_their_kind(name):
    tree = TREES[name]
    doubled, twice = map_tensors(tree, lambda t: 2 * t), concatenate([tree, tree])
    assert kinds(doubled) == kinds(tree)
    assert [t.sum() for t in tensors(doubled)] == [2 * t.sum() for t in tensors(tree)]
    assert sum(t.sum() for t in tensors(twice)) == 2 * sum(t.sum() for t in tensors(tree))
    assert structure(tree) == structure(twice) == structure(doubled)
    assert has_list(tree) == (name in ("rows", "text"))


def test_a_mapping_that_cannot_be_filled_becomes_a_dict():
    assert type(map_tensors(MappingProxyType({"a": torch.ones(2)}), torch.neg)) is dict


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.ones(4, 3)},
        {"a": torch.ones(4, 3), "b": torch.ones(4), "c": torch.ones(4)},
        {"a": torch.ones(4, 2), "b": torch.ones(4)},
        {"a": torch.ones(4, 3).long(), "b": torch.ones(4)},
        {"a": torch.ones(4, 3), "b": (torch.ones(4),)},
        (torch.ones(4, 3), torch.ones(4)),
        torch.ones(4, 3),
    ],
)
def test_other_structures_have_other_keys(other):
    tree = {"a": torch.ones(2, 3), "b": torch.zeros(2)}
    assert structure(tree) == structure({"b": torch.ones(5), "a": torch.ones(5, 3)})
    assert structure(tree) != structure(other)


def test_items_are_stacked():
    rows = [{"x": (torch.ones(2), i), "numbers": [i, 2, 3], "text": "a"} for i in range(4)]
    batch = stack(rows)
    assert type(batch["x"]) is tuple and batch["x"][0].shape == (4, 2) and batch["x"][1].tolist() == [0, 1, 2, 3]
    assert batch["numbers"].tolist() == [[i, 2, 3] for i in range(4)] and batch["text"] == ["a"] * 4
    assert type(stack([Pair(1, 2), Pair(3, 4)])) is Pair
    with pytest.raises(ValueError, match=r"all items must have the same keys, got \['a'\] and \['a', 'b'\]"):
        stack([{"a": 1}, {"a": 1, "b": 2}])
