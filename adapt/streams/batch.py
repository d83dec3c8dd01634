"""A batch of rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from adapt.streams.tree import map_tensors


@dataclass(frozen=True)
class Batch:
    """Rows of one stream.

    Args:
        inputs: of the first view; any tree of tensors.
        labels: any tree of tensors, or None.
        index: number of each row in the dataset.
        more: the inputs of further views of the same rows.
    """

    inputs: Any
    labels: Any
    index: Tensor
    more: tuple[Any, ...] = ()

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch with `function` applied to every tensor."""
        parts = (self.inputs, self.labels, self.index, self.more)
        return Batch(*(map_tensors(part, function) for part in parts))

    def pin_memory(self) -> "Batch":
        """Return the batch in pinned memory, as a ``DataLoader`` asks for."""
        return self.map(Tensor.pin_memory)
