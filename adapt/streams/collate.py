"""From a list of items to a batch: padding to the longest row, and lists with one entry per row.

A stream calls ``collate(items)`` with the items as the dataset gives them, input augmented: a list of
``(input, label)``, of mappings, or of inputs. The result has the same form, with one row per item:
``(inputs, labels)``, a mapping, or inputs. Collate functions of a ``DataLoader`` and data collators of transformers
have this form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.streams.tree import is_namedtuple, stack
from losses.options import FROM_0, check

MASKS = ("mask", "attention_mask")  # the names of a mask in a mapping of inputs


def pad(
    axis: int = 0, value: float | Mapping[str, float] = 0.0, *, keys: Sequence[str] | None = None
) -> Callable[[list[Any]], Any]:
    """Return a collate function: inputs of a batch are padded to the longest input.

    Args:
        axis: the axis of an input with unequal sizes; 0 is the first axis of an input without the axis of the rows.
        value: fills the places behind the end of an input; for mappings of inputs, also a number for each key.
        keys: entries of mappings of inputs that are padded; None means all tensors with this axis. The other entries
            are stacked.

    Returns:
        A function from items to a batch. Inputs that are tensors become a mapping: ``"values"`` padded tensor
        ``(n, ..., longest, ...)``, ``"lengths"`` ``(n,)``, ``"mask"`` ``(n, longest)``, True where the input has an
        entry. Inputs that are mappings keep their keys, and get ``"lengths"`` and ``"mask"`` unless they hold a mask
        already (``"mask"`` or ``"attention_mask"``, padded with zeros). Labels are stacked; labels of unequal length
        are padded with the missing label, -1 for integers and NaN for floats.

    Raises:
        ValueError: tensors of one item with different lengths where no mask is given, tensors that differ along another
            axis, or tensors without the axis.

    >>> batch, labels = pad()([(torch.ones(3), 0), (torch.ones(1), 1)])
    >>> batch["values"].shape, batch["lengths"].tolist(), batch["mask"].tolist()
    (torch.Size([2, 3]), [3, 1], [[True, True, True], [True, False, False]])
    """
    check(FROM_0, "count the axes of an input from the first", axis=axis)
    for number in value.values() if isinstance(value, Mapping) else [value]:
        check(
            ("a number, or a number for each key", lambda v: isinstance(v, Real) and not isinstance(v, bool)),
            value=number,
        )
    return _Pad(axis, value, None if keys is None else tuple(keys))


@dataclass(frozen=True)
class _Pad:
    """The function of :func:`pad`."""

    axis: int
    value: float | Mapping[str, float]
    keys: tuple[str, ...] | None

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.streams.collate.pad", {"axis": self.axis, "value": self.value, "keys": self.keys}

    def __call__(self, items: list[Any]) -> Any:
        first = items[0]
        if isinstance(first, tuple | list) and not is_namedtuple(first) and len(first) > 1:
            inputs, labels, *_ = zip(*items, strict=True)
            return self.inputs(inputs), _pad_labels(labels)
        return self.inputs(items)

    def inputs(self, rows: Sequence[Any]) -> Any:
        if isinstance(rows[0], Mapping):
            return self.mapping(rows)
        values = self.padded([_as_tensor(r) for r in rows], "", self.filler(""))
        return {"values": values, **_extent([len_along(_as_tensor(r), self.axis) for r in rows])}

    def mapping(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        chosen = [k for k, v in rows[0].items() if self.chooses(k, v)]
        if not chosen:
            raise ValueError(
                f"no entry of an item has axis {self.axis} to be padded, got the keys {sorted(rows[0])}: name the "
                "entries, `pad(keys=[...])`."
            )
        parts = {k: [_as_tensor(r[k]) for r in rows] for k in chosen}
        batch = {
            k: self.padded(parts[k], k, self.filler(k)) if k in parts else stack([r[k] for r in rows]) for k in rows[0]
        }
        return batch if any(k in batch for k in MASKS) else batch | _extent(self.common_lengths(parts))

    def common_lengths(self, parts: Mapping[str, list[Tensor]]) -> list[int]:
        first, *others = [[len_along(t, self.axis) for t in column] for column in parts.values()]
        if any(column != first for column in others):
            raise ValueError(
                f"the entries {list(parts)} of an item must have one length along axis {self.axis} for a mask: name "
                "the entries of one length, `pad(keys=[...])`."
            )
        return first

    def chooses(self, key: str, value: Any) -> bool:
        if self.keys is not None:
            return key in self.keys
        return _is_numeric(value) and _as_tensor(value).ndim > self.axis

    def filler(self, key: str) -> float:
        if key in MASKS:
            return 0.0
        return self.value.get(key, 0.0) if isinstance(self.value, Mapping) else self.value

    def padded(self, rows: Sequence[Tensor], key: str, value: float) -> Tensor:
        what = f"`{key}` of the items" if key else "the inputs"
        return _padded(rows, self.axis, value, what)


def as_lists(items: list[Any]) -> Any:
    """Return inputs of one shape as a batch, and labels as a list with one entry per row: the boxes of each image.

    Args:
        items: ``(input, label)``; a label is any tree, say a mapping with boxes ``(k, 4)`` and classes ``(k,)``.

    Raises:
        ValueError: items without labels.
        RuntimeError: inputs of different shapes.
    """
    first = items[0]
    if not isinstance(first, tuple | list) or len(first) < 2:
        raise ValueError(f"`as_lists` expects items (input, label), got a {type(first).__name__}.")
    return stack([item[0] for item in items]), [item[1] for item in items]


def len_along(tensor: Tensor, axis: int) -> int:
    """Return the size of `tensor` along `axis`.

    Raises:
        ValueError: no such axis.
    """
    if tensor.ndim <= axis:
        raise ValueError(f"`pad(axis={axis})` expects inputs with this axis, got an input of {tensor.ndim} axes.")
    return tensor.shape[axis]


def _extent(lengths: Sequence[int]) -> dict[str, Tensor]:
    counted = torch.tensor(lengths)
    return {"lengths": counted, "mask": torch.arange(max(lengths)) < counted[:, None]}


def _padded(rows: Sequence[Tensor], axis: int, value: float, what: str) -> Tensor:
    lengths = [len_along(r, axis) for r in rows]
    shapes = {(*r.shape[:axis], *r.shape[axis + 1 :]) for r in rows}
    if len(shapes) > 1:
        raise ValueError(
            f"{what} must differ along axis {axis} alone, got {sorted({tuple(r.shape) for r in rows})}: bring the "
            "other axes to one size."
        )
    shape = list(rows[0].shape)
    shape[axis] = max(lengths)
    batch = rows[0].new_full((len(rows), *shape), value)
    for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        batch[number].narrow(axis, 0, length).copy_(row)
    return batch


def _pad_labels(labels: Sequence[Any]) -> Any:
    """Return the labels as a batch; labels of unequal length are padded with the missing label."""
    if not all(_is_numeric(y) for y in labels):
        return stack(labels)
    rows = [_as_tensor(y) for y in labels]
    if len({r.shape for r in rows}) == 1:
        return stack(rows)
    return _padded(rows, 0, float("nan") if rows[0].is_floating_point() else -1, "labels")


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_numeric(v) for v in value)
    return isinstance(value, Tensor | numpy.ndarray | numpy.generic | int | float)


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)
