"""Arrays as a data set."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapt.datasets.labels import from_package, to_labels
from adapt.datasets.rows import Rows, describe


class SparseRows(Dataset):
    """Rows of a sparse matrix: only the rows that are read become dense.

    Attributes:
        labels: ``(n,)`` or ``(n, k)``, or None.
        names: of the classes, or None.
    """

    def __init__(self, matrix: Any, labels: Tensor | None, names: list[str] | None):
        self.start, self.column, self.value = matrix.indptr, matrix.indices, matrix.data
        self.shape, self.labels, self.names = matrix.shape, labels, names

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, index: Sequence[int]) -> list[Any]:
        """Return the items of several rows, made dense together; torch's ``DataLoader`` asks for a batch so."""
        dense = self._dense(index)
        return list(dense) if self.labels is None else list(zip(dense, self.labels[index], strict=True))

    @property
    def kinds(self) -> list[tuple[torch.Size, torch.dtype]]:
        """The shape of a row and the dtype of the inputs, and of the labels: see ``protocols.InMemory``."""
        inputs = [(torch.Size([self.shape[1]]), torch.float32)]
        return inputs if self.labels is None else [*inputs, (self.labels.shape[1:], self.labels.dtype)]

    def take(self, column: int, index: Tensor) -> Tensor:
        """Return rows of the inputs, made dense together, or of the labels: a stream reads a batch at once."""
        return self._dense(index.tolist()) if column == 0 or self.labels is None else self.labels[index]

    def _dense(self, index: Sequence[int]) -> Tensor:
        dense = torch.zeros(len(index), self.shape[1])
        for row, i in zip(dense.numpy(), index, strict=True):
            if not -len(self) <= i < len(self):
                raise IndexError(f"row {i} of {len(self)} rows.")
            part = slice(self.start[i % len(self)], self.start[i % len(self) + 1])
            row[self.column[part]] = self.value[part]
        return dense

    def __repr__(self) -> str:
        filled = len(self.value) / max(1, self.shape[0] * self.shape[1])
        what = describe(self.labels, self.names)
        return f"SparseRows({len(self)} rows of {self.shape[1]}, {filled:.1%} filled, {what})"


def arrays(X: Any, y: Any = None, *, names: Sequence[str] | None = None, missing: bool = False) -> Rows | SparseRows:
    """Return inputs and labels in memory as a data set for a :class:`Stream`.

    Args:
        X: ``(n, ...)`` inputs: a numpy array, a pandas DataFrame of numbers, a scipy sparse matrix, a tensor, or a list
            of rows of one length. Floats of any width, booleans, tables and sparse matrices become float32. Integers
            stay integers (int64, or uint8), for token numbers: write ``X.astype("float32")`` for measured integers.
        y: ``(n,)`` labels, or ``(n, k)`` for several tasks; None for inputs alone. Texts become classes, integers and
            booleans become int64, other numbers become float32 targets of a regression.
        names: of the classes, in the order of the numbers. Give the names of the training set to the test set:
            ``datasets.arrays(X, y, names=train.names)``. None takes the sorted texts, the order of a pandas
            categorical, ``["False", "True"]``, or "0" to the largest integer.
        missing: ``True`` allows rows without a label (None or NaN): the label becomes -1 for classes, NaN for numbers.

    Returns:
        A ``TensorDataset`` with `names`. A sparse matrix stays sparse: a row becomes dense when the row is read.

    Raises:
        TypeError: inputs that are no numbers; labels of mixed kinds.
        ValueError: unequal numbers of rows, inputs without a second axis, unequal indices of pandas, a missing label,
            a name that is not in `names`.

    >>> data = arrays([[0.0, 1.0], [2.0, 3.0]], ["dog", "cat"])
    >>> data.names, data[0]
    (['cat', 'dog'], (tensor([0., 1.]), tensor(1)))
    """
    sparse = from_package(X, "scipy")
    columns = [str(column) for column in X.columns] if from_package(X, "pandas") and X.ndim == 2 else None
    inputs = _csr(X) if sparse else tensor_of(X)
    if len(inputs.shape) < 2 or inputs.shape[0] == 0:
        raise ValueError(
            f"`X` must be (n, ...) with at least one row and one axis of features, got {tuple(inputs.shape)}: one "
            "number per row is `X.reshape(-1, 1)`."
        )
    labels, found = (None, None) if y is None else to_labels(y, names, missing=missing)
    if labels is not None and (labels.ndim == 0 or len(labels) != inputs.shape[0]):
        raise ValueError(
            f"`X` and `y` must have the same number of rows, got {inputs.shape[0]} and {tuple(labels.shape)}: give one "
            "label per row."
        )
    if _has_index(X) and _has_index(y) and not X.index.equals(y.index):
        raise ValueError(
            "`X` and `y` must have the same pandas index, got two different ones: align them "
            "(`y = y.loc[X.index]`), or pass `y.to_numpy()` where the order is the same."
        )
    if sparse:
        return SparseRows(inputs, labels, found)
    return Rows(inputs, labels, names=found, columns=columns)


def _has_index(value: Any) -> bool:
    return from_package(value, "pandas") and type(value).__name__ in ("DataFrame", "Series")


def _csr(X: Any) -> Any:
    matrix = X.tocsr().astype("float32")  # a copy: the matrix of the user stays as it is
    matrix.sum_duplicates()
    return matrix


def tensor_of(X: Any, what: str = "`X`") -> Tensor:
    """Return inputs as a tensor: floats and booleans as float32, integers as int64 or uint8."""
    if not isinstance(X, Tensor):
        try:
            array = X.to_numpy("float32", na_value=numpy.nan) if from_package(X, "pandas") else numpy.asarray(X)
            plain = {"f": "float32", "b": "float32", "i": "int64", "u": "uint8" if array.itemsize == 1 else "int64"}
            if array.dtype.kind not in plain:
                raise TypeError(f"found {array.dtype}")
            array = numpy.ascontiguousarray(array, plain[array.dtype.kind])
            return torch.from_numpy(array if array.flags.writeable else array.copy())  # pandas gives read-only arrays
        except (TypeError, ValueError) as error:  # numpy's words for texts, objects and rows of unequal length
            raise TypeError(
                f"{what} must hold numbers in rows of one shape ({error}): texts go to `datasets.texts`, columns of "
                "names to `datasets.table`, rows of unequal length into a `Dataset` of your own."
            ) from error
    if X.layout != torch.strided or X.is_complex():
        found, remedy = (X.dtype, "X.abs()") if X.is_complex() else (X.layout, "X.to_dense()")
        raise TypeError(f"{what} must be a dense tensor of real numbers, got {found}: call `{remedy}`.")
    values = X.detach().cpu()
    if values.is_floating_point() or values.dtype == torch.bool:
        return values.float()
    return values if values.dtype == torch.uint8 else values.long()
