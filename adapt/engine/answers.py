"""From the outputs of a head to the answers of a user: names of classes, numbers, values."""

from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.engine.step import at_least_float32
from adapt.protocols import HasClasses, HasNames, HasProbabilities, Predicts, offers
from adapt.streams.tree import like_sequence


class Predicting(nn.Module):
    """A head with predictions as outputs: numbers of classes, booleans of labels, or values."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, features: Any) -> Any:
        output = at_least_float32(self.head(features))
        if offers(self.head, Predicts):
            return self.head.predict(output)
        return output.argmax(1) if are_logits(self.head, output) else output


class Probable(nn.Module):
    """A head with probabilities as outputs.

    Raises:
        TypeError: a head without classes and without labels; raised by the pass.
    """

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, features: Any) -> Any:
        output = at_least_float32(self.head(features))
        if offers(self.head, HasProbabilities):
            return self.head.probabilities(output)
        if are_logits(self.head, output):
            return output.softmax(1)
        raise TypeError(
            f"`probabilities` needs a head of classes or labels, got a {type(self.head).__name__}: take "
            "`model.predict` for values, or `heads.wrap(..., names=...)` for logits of classes."
        )


def are_logits(head: nn.Module, output: Any) -> bool:
    """Whether `output` is ``(n, classes, ...)``, one logit for each class of the head."""
    classes = head.classes if offers(head, HasClasses) else len(names_of_head(head) or ())
    return isinstance(output, Tensor) and output.ndim > 1 and output.shape[1] == classes


def names_of_head(head: nn.Module) -> list[str] | None:
    """Return the names of the classes or labels of a head; None where the head has no names."""
    return list(head.names) if offers(head, HasNames) else None


def are_numbers(names: list[str] | None) -> bool:
    """Whether the names are the numbers of the classes: the user gave no names."""
    return names is None or names == [str(i) for i in range(len(names))]


def named(head: nn.Module, predicted: Any) -> Any:
    """Return the predictions of all rows in the words of the user.

    Returns:
        For classes a numpy array of names, or of numbers where the head has no names or each pixel has a class. For
        labels that do not exclude one another a list with the names of each row, or a numpy array of booleans. For
        values a numpy array. For any other tree, such as boxes, a list with one tree of numpy arrays per row, where
        ``"classes"`` are names.
    """
    names = names_of_head(head)
    if not isinstance(predicted, Tensor):
        return [_with_names(row, names) for row in per_row(predicted)]
    values = predicted.numpy()
    # texts of pixels would need much memory
    if are_numbers(names) or predicted.is_floating_point() or predicted.ndim > 2:
        return values
    words = numpy.array(names)
    return [list(words[row].tolist()) for row in values] if predicted.dtype == torch.bool else words[values]


def _with_names(row: Any, names: list[str] | None) -> Any:
    """Return the part of a row; the classes of found boxes become names."""
    found = row.get("classes") if isinstance(row, Mapping) and not are_numbers(names) else None
    if not isinstance(found, numpy.ndarray) or found.dtype.kind != "i":
        return row
    return {**row, "classes": numpy.array(names)[found]}


def per_row(tree: Any) -> list[Any]:
    """Return a list with the part of each row of a batch."""
    if isinstance(tree, Tensor):
        return list(tree.numpy())
    if isinstance(tree, Mapping):
        columns = {k: per_row(v) for k, v in tree.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(tree, tuple):
        return [like_sequence(tree, list(row)) for row in zip(*map(per_row, tree), strict=True)]
    return [_plain(row) for row in tree]


def _plain(row: Any) -> Any:
    if isinstance(row, Tensor):
        return row.numpy()
    if isinstance(row, Mapping):
        return {k: _plain(v) for k, v in row.items()}
    return like_sequence(row, [_plain(v) for v in row]) if isinstance(row, tuple | list) else row
