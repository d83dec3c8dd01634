"""The rows among which a strategy chooses."""

import math
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.randomness import keyed_seed


class NoProbabilities(ValueError):
    """A strategy needs probabilities, and the pool has none."""


@dataclass(frozen=True)
class Pool:
    """Rows with and without labels: the argument of every strategy.

    :func:`adapt.fewshot.query` makes and checks the pool.

    Attributes:
        features: ``(n, d)`` float32 or float64.
        probabilities: ``(n, classes)`` by the current classifier, or None.
        labelled: ``(n,)`` True where a row has a label.
        budget: number of rows to choose, at most the number of rows without a label.
        seed: of random choices.
    """

    features: Tensor
    probabilities: Tensor | None
    labelled: Tensor
    budget: int
    seed: int

    def need_probabilities(self, strategy: str) -> Tensor:
        """Return the probabilities, or raise :class:`NoProbabilities`."""
        if self.probabilities is None:
            raise NoProbabilities(
                f"{strategy} needs `probabilities`, got None: give the probabilities of a classifier or of zero-shot "
                "names, or take a strategy that reads features alone, such as 'typiclust'."
            )
        return self.probabilities

    def least(self, values: Tensor) -> Tensor:
        """Return the unlabelled rows with the least of ``(n,)`` values, the least first; the first of equal rows."""
        return values.masked_fill(self.labelled, math.inf).sort(stable=True).indices[: self.budget]

    def blocks(self, size: int) -> tuple[Tensor, ...]:
        """Return the numbers of the labelled rows, in blocks of at most `size`; no block where no row has a label."""
        rows = self.labelled.nonzero()[:, 0]
        return rows.split(size) if len(rows) else ()

    def generator(self, strategy: str) -> torch.Generator:
        """Return a generator on the CPU, keyed by the seed and by the name of the strategy."""
        return torch.Generator().manual_seed(keyed_seed(self.seed, "query", strategy))


def pool_of(features: Any, probabilities: Any, labelled: Any, budget: int, seed: int) -> Pool:
    """Return the pool of checked rows, without a copy where none is needed.

    Raises:
        ValueError: as :func:`adapt.fewshot.query`.
    """
    x, low, high = finite_rows("features", features, "d")
    largest = max(-low, high)
    if largest and not 1e-6 < largest < 1e6:  # squares must neither overflow nor vanish; no strategy sees the scale
        x = x / largest
    mask = _mask(labelled, len(x)).to(x.device)
    left = len(x) - int(mask.sum())
    if budget > left:
        raise ValueError(
            f"`budget` must be at most the number of rows without a label, got {budget} for {left} of {len(x)} rows: "
            f"ask for {left} rows."
            if left
            else f"`labelled` leaves no row: all {len(x)} rows have labels."
        )
    p = None if probabilities is None else _probabilities(probabilities, len(x)).to(x.device)
    return Pool(x, p, mask, int(budget), int(seed))


def as_numbers(name: str, values: Any) -> Tensor:
    """Return numbers or booleans as a tensor without a gradient, unsigned numbers as int64.

    Raises:
        ValueError: texts, None or lists of unequal lengths.
    """
    if isinstance(values, Tensor):
        x = values.detach()
    else:
        try:
            found = numpy.asarray(values)
        except ValueError:  # lists of unequal lengths
            found = numpy.empty(0, dtype=object)
        if found.dtype.kind not in "biufc":
            raise ValueError(f"`{name}` must be an array, a tensor or lists of numbers, got {type(values).__name__}.")
        x = torch.as_tensor(found)
    # torch finds no minimum of uint16, and takes uint8 for booleans where rows are chosen
    return x if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool else x.long()


def finite_rows(name: str, rows: Any, columns: str) -> tuple[Tensor, float, float]:
    """Return ``(n, columns)`` rows in float32 or float64, the least and the largest number."""
    x = as_numbers(name, rows)
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0 or x.is_complex():
        raise ValueError(f"`{name}` must be (n, {columns}) real numbers with n >= 1, got shape {tuple(x.shape)}.")
    x = x if x.dtype in (torch.float32, torch.float64) else x.float()
    low, high = (end.item() for end in x.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~x.isfinite()).any(1).sum())
        raise ValueError(
            f"`{name}` must be finite, got {bad} of {len(x)} rows with NaN or infinity: leave these rows out."
        )
    return x, low, high


def _probabilities(probabilities: Any, n: int) -> Tensor:
    p, low, high = finite_rows("probabilities", probabilities, "classes")
    if len(p) != n or p.shape[1] < 2:
        raise ValueError(
            f"`probabilities` must have the {n} rows of the features and at least 2 classes, got {tuple(p.shape)}: "
            "give one column for each class, also for classes without a labelled row."
        )
    sums = p.sum(1)
    if low < 0 or (sums - 1).abs().max() > 2e-2:  # a bf16 row of 1,000 classes is off by 0.01
        raise ValueError(
            f"`probabilities` must be at least 0 and sum to 1, got numbers from {low:.3g} to {high:.3g} in rows that "
            f"sum to {sums.min():.3g} to {sums.max():.3g}: pass the softmax of the logits."
        )
    return p


def _mask(labelled: Any, n: int) -> Tensor:
    """Return ``(n,)`` booleans from booleans, from row numbers, or from None for no row."""
    given = as_numbers("labelled", [] if labelled is None else labelled)
    if given.dtype == torch.bool and given.shape == (n,):
        return given
    mask = torch.zeros(n, dtype=torch.bool, device=given.device)
    if given.numel() == 0:
        return mask
    if given.ndim != 1 or given.is_floating_point() or given.dtype == torch.bool:
        raise ValueError(
            f"`labelled` must be ({n},) booleans or the numbers of the labelled rows, got shape {tuple(given.shape)} "
            f"of {given.dtype}."
        )
    if given.min() < 0 or given.max() >= n:
        raise ValueError(f"`labelled` must be row numbers in [0, {n}), found {int(given.min())} to {int(given.max())}.")
    mask[given] = True
    return mask
