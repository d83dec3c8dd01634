"""A batch of rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from adapt.streams._episodes import Episodes
from adapt.streams.tree import map_tensors


@dataclass(frozen=True)
class Batch:
    """Rows of one stream.

    Args:
        inputs: of the first view; any tree of tensors.
        labels: any tree of tensors, or None.
        index: number of each row in the dataset.
        more: the inputs of further views of the same rows.
        episodes: the sizes of the episodes that the rows make up, or None.
    """

    inputs: Any
    labels: Any
    index: Tensor
    more: tuple[Any, ...] = ()
    episodes: Episodes | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch with `function` applied to every tensor."""
        parts = (self.inputs, self.labels, self.index, self.more)
        inputs, labels, index, more = (map_tensors(part, function) for part in parts)
        return Batch(inputs, labels, index, more, self.episodes)

    def pin_memory(self) -> "Batch":
        """Return the batch in pinned memory, as a ``DataLoader`` asks for."""
        return self.map(Tensor.pin_memory)
