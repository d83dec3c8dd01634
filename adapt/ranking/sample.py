"""Features of target rows by one pretrained encoder, with the matrices that several scores use."""

import math
from functools import cached_property
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.ranking import arrays


class Undefined(ValueError):
    """A score without meaning for the given rows. The message has the reason and a remedy."""


class Sample:
    r"""Features of labelled target rows by one encoder: the argument of every score.

    Decompositions are computed when a score first asks, and shared by all scores. Ridge, H-score, TransRate, GBC and
    N-LEEP use the centred features, LogME the plain features. Both decompositions come from one product of the smaller
    side, :math:`F^T F` or :math:`F F^T`.

    Args:
        features: ``(n, d)``, an array or tensor of any float type; computed in float64. No score depends on the scale.
        labels: ``(n,)`` classes: whole numbers, names or booleans. Classes without a row do not count.
        values: ``(n,)`` or ``(n, t)`` numbers to predict, in place of `labels`.
        source: ``(n, z)`` probabilities by the encoder's own head, for LEEP and NCE; checked once and not copied. Or
            ``(n,)`` whole numbers, the predicted classes, for NCE alone.

    Attributes:
        Y: ``(n, c)`` one column for each class, 0 or 1; or the values, ``(n, t)``.
        y: ``(n,)`` classes from 0 to c - 1; None with `values`.

    Raises:
        ValueError: wrong shapes, numbers that are not finite, both or neither of `labels` and `values`, rows of
            `source` that are not probabilities.
        Undefined: fewer than 3 rows, a single class, constant values, or the same features in every row.

    >>> Sample([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"]).classes
    2
    """

    def __init__(self, features: Any, labels: Any = None, *, values: Any = None, source: Any = None):
        raw, low, high = _finite_rows("features", features, "d")
        largest = max(-low, high)
        n = len(raw)
        if (labels is None) == (values is None):
            raise ValueError("give either `labels`, for classes, or `values`, for numbers to predict.")
        self.y = None if labels is None else _classes(labels, n)
        self.Y = torch.nn.functional.one_hot(self.y).double() if self.y is not None else _values(values, n)
        self.classes = self.Y.shape[1]
        self.source = None if source is None else _source(source, n)
        if n < 3:
            raise Undefined(f"{n} rows: a score needs at least 3; label more target rows.")
        if self.y is not None and self.classes < 2:
            raise Undefined(
                "all rows have one class: there is nothing to tell apart; give rows of two classes or more."
            )
        if self.y is None and (self.Y == self.Y[:1]).all(0).any():
            raise Undefined("a column of `values` is constant: there is nothing to predict; leave it out.")
        if (raw.amax(0) - raw.amin(0)).max() <= 1e-12 * largest:
            raise Undefined("all rows have the same features: this encoder does not tell the inputs apart.")
        if not 1e-6 < largest < 1e6:  # squares must neither overflow nor vanish
            raw = raw.double() / largest
        self.mean = raw.mean(0, dtype=torch.float64)
        # float64, in one pass: a copy costs as much as a tenth of the eigenvectors
        self.centred_features = raw - self.mean

    @cached_property
    def features(self) -> Tensor:
        return self.centred_features + self.mean

    def __len__(self) -> int:
        return len(self.Y)

    def take(self, rows: Tensor) -> "Sample":
        """Return a sample of the given rows."""
        if self.y is None:
            part = Sample(self.features[rows], values=self.Y[rows])
        else:
            part = Sample(self.features[rows], self.y[rows])
        part.source = None if self.source is None else self.source[rows]  # checked already
        return part

    @cached_property
    def _gram(self) -> Tensor:
        F = self.centred_features
        return F.T @ F if F.shape[0] >= F.shape[1] else F @ F.T

    @cached_property
    def centred(self) -> "Spectrum":
        """Decomposition of the features minus their mean."""
        return Spectrum(self.centred_features, self._gram, torch.zeros(()).double())

    @cached_property
    def spectrum(self) -> "Spectrum":
        """Decomposition of the plain features. Adding the mean to the Gram matrix loses no digits."""
        n, d = self.centred_features.shape
        if n >= d:
            gram = self._gram + n * torch.outer(self.mean, self.mean)
        else:
            side = self.centred_features @ self.mean
            gram = self._gram + side[:, None] + side + self.mean.square().sum()
        return Spectrum(self.centred_features, gram, self.mean)

    def need_classes(self, score: str) -> Tensor:
        """Return the classes, or raise :class:`Undefined`."""
        if self.y is None:
            raise Undefined(f"{score} is defined for classes, and these rows have `values`; use ridge or logme.")
        return self.y

    def need_source(self, score: str) -> Tensor:
        """Return probabilities or predicted classes by the source head, or raise :class:`Undefined`."""
        if self.source is None:
            raise Undefined(f"{score} needs the probabilities of the encoder's own head: give `source`.")
        return self.source


class Spectrum:
    r"""Singular values and vectors, :math:`F = U \operatorname{diag}(s) V^T`, without the null space.

    Computed from the eigenvectors of the smaller Gram matrix: half the work of a singular value decomposition, or less.
    Directions with :math:`s^2` below the rounding error of the largest :math:`s^2` count as null.

    Args:
        F: ``(n, d)`` features minus their mean.
        gram: :math:`F^T F` or :math:`F F^T`, the smaller; with a `mean`, of the features with the mean.
        mean: ``(d,)``, or 0 for centred features.

    Attributes:
        squares: ``(k,)``, :math:`s^2`, ascending.
    """

    def __init__(self, F: Tensor, gram: Tensor, mean: Tensor):
        squares, vectors = torch.linalg.eigh(gram)
        keep = squares > squares[-1] * max(F.shape) * torch.finfo(torch.float64).eps
        self.squares, self._vectors, self._F, self._mean = squares[keep], vectors[:, keep], F, mean
        self._wide = F.shape[0] < F.shape[1]

    @cached_property
    def left(self) -> Tensor:
        """The matrix U, ``(n, k)``."""
        if self._wide:
            return self._vectors
        right = self._vectors / self.squares.sqrt()
        return self._F @ right + (self._mean @ right if self._mean.ndim else 0)

    def project(self, Y: Tensor) -> Tensor:
        """Return :math:`U^T Y`, ``(k, c)``. U itself is computed only where the way over U is shorter."""
        if self._wide or "left" in self.__dict__:
            return self.left.T @ Y
        return (self._vectors / self.squares.sqrt()).T @ (self._F.T @ Y + self._mean[..., None] * Y.sum(0))

    def principal(self, count: int) -> Tensor:
        """Return the rows along the `count` directions of most variance, ``(n, count)``, the largest first."""
        largest = slice(max(0, len(self.squares) - count), None)
        if self._wide:
            return (self._vectors[:, largest] * self.squares[largest].sqrt()).flip(1)
        return (self._F @ self._vectors[:, largest]).flip(1)


def _finite_rows(name: str, rows: Any, columns: str) -> tuple[Tensor, float, float]:
    """Return ``(n, d)`` rows in their float type, the least and the largest number. No copy where none is needed."""
    x = (rows.detach() if isinstance(rows, Tensor) else torch.as_tensor(numpy.asarray(rows))).cpu()
    x = x if x.is_floating_point() else x.double()
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0:
        raise ValueError(f"`{name}` must be (n, {columns}) with n >= 1, got shape {tuple(x.shape)}.")
    low, high = (end.item() for end in x.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~x.isfinite()).any(1).sum())
        raise arrays.NotFinite(f"`{name}` must be finite, got {bad} of {len(x)} rows with NaN or infinity.")
    return x, low, high


def _classes(labels: Any, n: int) -> Tensor:
    y = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else numpy.asarray(labels)
    if y.shape != (n,) or y.dtype.kind not in "iubUS":
        raise ValueError(
            f"`labels` must be ({n},) classes, whole numbers or names, one for each row of the features, got shape "
            f"{y.shape} of {y.dtype}; for numbers to predict give `values`."
        )
    return torch.from_numpy(numpy.unique(y, return_inverse=True)[1]).long()


def _values(values: Any, n: int) -> Tensor:
    y = torch.as_tensor(values).detach().cpu().double()
    y = y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or len(y) != n or y.shape[1] == 0 or not y.isfinite().all():
        raise ValueError(f"`values` must be ({n},) or ({n}, t) finite numbers, got shape {tuple(y.shape)}.")
    return y


def _source(source: Any, n: int) -> Tensor:
    """Return the given probabilities or predicted classes, after a check."""
    x = source.detach() if isinstance(source, Tensor) else torch.as_tensor(numpy.asarray(source))
    if len(x) != n:
        raise ValueError(f"`source` must have the rows of the features, got {len(x)} and {n}.")
    if x.ndim == 1:
        if x.is_floating_point() or x.dtype == torch.bool:
            raise ValueError(
                f"`source` must be (n, source classes) probabilities or (n,) whole numbers, got (n,) of {x.dtype}."
            )
        return x.cpu().long()
    p, low, high = _finite_rows("source", x, "source classes")
    sums = p.sum(1, dtype=torch.float64)
    if low < 0 or (sums - 1).abs().max() > 1e-2:  # bf16 rows are off by 0.004
        raise ValueError(
            f"`source` must be probabilities, got numbers from {low:.3g} to {high:.3g} in rows that sum to "
            f"{sums.min():.3g} to {sums.max():.3g}: pass the softmax of the source head's logits."
        )
    return p
