"""Rows in memory: the result of the builders of data sets for dense data."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import TensorDataset


class Rows(TensorDataset):
    """A ``TensorDataset`` with names: inputs, and labels where there are labels.

    Args:
        inputs: ``(n, ...)``.
        labels: ``(n, ...)``; None for inputs alone.
        names: of the classes, or of the columns of ``(n, k)`` labels.
        columns: names of the ``(n, d)`` inputs.
        groups: ``(n,)`` int64: rows of one group (windows of one person) belong together.
        group_names: of the groups.
        preparation: of a table, :class:`datasets.Preparation`; None where the rows need no preparation.

    Items are ``(input, label)``, or ``(input,)`` without labels.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor | None = None,
        *,
        names: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        groups: Tensor | None = None,
        group_names: Sequence[str] | None = None,
        preparation: Any = None,
    ):
        super().__init__(inputs, *(() if labels is None else (labels,)))
        self.names = None if names is None else list(names)
        self.columns = None if columns is None else list(columns)
        self.groups, self.group_names = groups, None if group_names is None else list(group_names)
        self.preparation = preparation

    @property
    def inputs(self) -> Tensor:
        return self.tensors[0]

    @property
    def labels(self) -> Tensor | None:
        return self.tensors[1] if len(self.tensors) > 1 else None

    def part(self, index: Tensor) -> "Rows":
        """Return the rows with the numbers `index`, with the same names."""
        return Rows(
            *(tensor[index] for tensor in self.tensors),
            names=self.names,
            columns=self.columns,
            groups=None if self.groups is None else self.groups[index],
            group_names=self.group_names,
            preparation=self.preparation,
        )

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.inputs.shape[1:]))
        return f"{type(self).__name__}({len(self)} rows of {shape}, {describe(self.labels, self.names)})"


def describe(labels: Tensor | None, names: Sequence[str] | None) -> str:
    """Return a description of the labels, in words."""
    if labels is None:
        return "no labels"
    if names is not None and labels.ndim == 1:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"{len(names)} classes: {shown}"
    return f"labels {tuple(labels.shape)} of {str(labels.dtype).removeprefix('torch.')}"
