"""Trees of tensors: mappings, namedtuples and tuples of parts, and lists with one entry per row.

A batch and an item are trees. A tuple in a batch holds parts with all rows each; a list holds one entry per row, say
the boxes of an image.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import default_collate


def map_tensors(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return the same tree with `function` applied to every tensor. Other leaves, say text, stay."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return like_mapping(tree, {k: map_tensors(v, function) for k, v in tree.items()})
    if isinstance(tree, tuple | list):
        return like_sequence(tree, [map_tensors(v, function) for v in tree])
    return tree


def tensors(tree: Any) -> Iterator[Tensor]:
    """Yield every tensor of a tree."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping | tuple | list):
        for part in tree.values() if isinstance(tree, Mapping) else tree:
            yield from tensors(part)


def has_list(tree: Any) -> bool:
    """Whether a part of a tree is a list with one entry per row."""
    if isinstance(tree, Mapping):
        return any(map(has_list, tree.values()))
    return isinstance(tree, list) or (isinstance(tree, tuple) and any(map(has_list, tree)))


def structure(tree: Any) -> Hashable:
    """Return a key: two batches with the same key can lie behind each other in one batch.

    The key holds the keys of mappings, the fields of tuples, and the shape of a row and the dtype of each tensor. A
    leaf that is no tensor, no text and no list has a key of its own.
    """
    if isinstance(tree, Tensor):
        return tree.shape[1:], tree.dtype
    if isinstance(tree, Mapping):
        return tuple([(k, structure(tree[k])) for k in sorted(tree, key=repr)])
    if isinstance(tree, tuple):
        return type(tree), *map(structure, tree)
    return "one entry per row" if isinstance(tree, list) else id(tree)


def concatenate(trees: Sequence[Any]) -> Any:
    """Return the rows of several batches of one structure behind each other."""
    first = trees[0]
    if len(trees) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(trees))
    if isinstance(first, Mapping):
        return like_mapping(first, {k: concatenate([t[k] for t in trees]) for k in first})
    if isinstance(first, list):
        return [row for tree in trees for row in tree]
    if isinstance(first, tuple):
        return like_sequence(first, [concatenate(part) for part in zip(*trees, strict=True)])
    return first


def stack(rows: Sequence[Any]) -> Any:
    """Return items as a batch, as torch's ``default_collate`` does.

    Differences: a tuple of parts stays a tuple, a list of numbers becomes a row of a tensor, and mappings with other
    keys than the first item are an error.

    Raises:
        ValueError: tensors of different shapes, and items that are neither tensors, arrays, numbers nor texts.
    """
    first = rows[0]
    if isinstance(first, Mapping):
        _check_keys(rows)
        return like_mapping(first, {k: stack([r[k] for r in rows]) for k in first})
    if isinstance(first, list) and all(isinstance(v, int | float) for v in first):
        return default_collate([torch.as_tensor(r) for r in rows])
    if isinstance(first, tuple | list):
        return like_sequence(first, [stack(part) for part in zip(*rows, strict=True)], tuple)
    try:
        return default_collate(list(rows))
    except (TypeError, RuntimeError) as error:
        raise ValueError(_remedy(rows)) from error


def _remedy(rows: Sequence[Any]) -> str:
    """Return what to do with items that torch cannot put into a batch."""
    first = rows[0]
    if not isinstance(first, Tensor | numpy.ndarray):
        return (
            f"an item must hold tensors, arrays, numbers or texts, got a {type(first).__name__}: let the dataset "
            "return a tensor, for an image by `torchvision.transforms.ToTensor()`, or give the stream `collate=`."
        )
    shapes = list(dict.fromkeys(tuple(row.shape) for row in rows))
    return (
        f"the items of a batch must have one shape, got {', '.join(map(str, shapes[:3]))}: bring them to one size in "
        "the dataset, or give the stream `collate=streams.collate.pad()`."
    )


def _check_keys(rows: Sequence[Mapping]) -> None:
    for row in rows:
        if row.keys() != rows[0].keys():
            raise ValueError(
                f"all items must have the same keys, got {sorted(map(str, rows[0]))} and {sorted(map(str, row))}: give "
                "every item every key, or give the stream `collate=`."
            )


def like_mapping(tree: Mapping, parts: dict) -> Mapping:
    """Return `parts` as a mapping of the kind of `tree`, where this kind can be copied and filled; else a dict."""
    if type(tree) is dict or not isinstance(tree, MutableMapping):
        return parts
    filled = copy(tree)
    for name, part in parts.items():  # an output of transformers refuses `update`
        filled[name] = part
    return filled


def like_sequence(tree: Sequence, parts: list, plain: type | None = None) -> Any:
    """Return `parts` as a namedtuple, tuple or list, as `tree` is; `plain` replaces tuple and list."""
    if is_namedtuple(tree):
        return type(tree)(*parts)
    return (plain or (tuple if isinstance(tree, tuple) else list))(parts)


def is_namedtuple(value: Any) -> bool:
    """Whether `value` is a tuple with named fields."""
    return isinstance(value, tuple) and type(value) is not tuple and bool(field_names(value))


def field_names(value: tuple) -> tuple[str, ...]:
    """Return the names of the fields of a namedtuple; python has no class for namedtuples."""
    return getattr(value, "_fields", ())
