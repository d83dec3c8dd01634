"""The next rows to label."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from adapt.fewshot import strategies
from adapt.fewshot.pool import Pool, as_numbers, pool_of
from losses.options import COUNT, FROM_0, check

Strategy = Callable[[Pool], Tensor]


def query(
    features: Any,
    probabilities: Any,
    labelled: Any,
    budget: int,
    strategy: str | Strategy = "max_herding",
    *,
    seed: int = 0,
) -> Tensor:
    """Return the numbers of the rows that should get a label next, ``(budget,)`` on the CPU, in the order of choice.

    Args:
        features: ``(n, d)`` of all rows, with and without labels, by any encoder; an array or tensor.
        probabilities: ``(n, classes)`` by the current classifier, or by zero-shot names before the first label. None
            serves the strategies that read features alone: ``"random"``, ``"k_centre"``, ``"max_herding"``,
            ``"typiclust"``.
        labelled: the numbers of the rows that have labels, or ``(n,)`` booleans; None or an empty list is no row.
        budget: how many rows to choose.
        strategy: the name of a function of :mod:`adapt.fewshot.strategies`, or any function from a
            :class:`adapt.fewshot.Pool` to row numbers, such as
            ``functools.partial(fewshot.strategies.clue, temperature=0.1)``. Default: MaxHerding, which had a
            larger area under the curve than margin up to ten labels for each class (docs/active.md). The time of
            MaxHerding grows with n²; take ``"margin"`` for more labels, above some 20,000 rows, or where the
            probabilities are those of a classifier of another domain.
        seed: of random choices. Equal seeds give equal rows.

    Computed on the device of the features, k-means on the CPU; in float32, or in float64 where the features are
    float64. Each rank that calls with the same rows gets the same answer.

    Raises:
        ValueError: features or probabilities that are no finite rows, rows of probabilities that do not sum to 1, one
            class, an unknown strategy, a budget above the number of rows without a label; a function of your own that
            returns rows twice, labelled rows or another number of rows.

    Related: :func:`adapt.fewshot.label_efficiency` draws the curve of the accuracy over the labels.

    >>> features = [[0.0], [1.0], [2.0], [3.0]]
    >>> query(features, [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8]], [2], 2, "margin")
    tensor([1, 3])
    """
    check(COUNT, budget=budget)
    check(FROM_0, seed=seed)
    pool = pool_of(features, probabilities, labelled, budget, seed)
    return chosen(pool, function_of(strategy))


def function_of(strategy: str | Strategy) -> Strategy:
    """Return the strategy with a name, or the function itself."""
    if callable(strategy):
        return strategy
    if strategy not in strategies.__all__:
        raise ValueError(
            f"`strategy` must be one of {', '.join(strategies.__all__)}, or a function of a pool, got {strategy!r}."
        )
    return vars(strategies)[strategy]


def chosen(pool: Pool, strategy: Strategy) -> Tensor:
    """Return the rows that a strategy chooses, after a check of the rows."""
    with torch.no_grad():
        rows = as_numbers("strategy", strategy(pool)).cpu()
    right = rows.shape == (pool.budget,) and not rows.is_floating_point() and rows.dtype != torch.bool
    if not right or not 0 <= int(rows.min()) <= int(rows.max()) < len(pool.labelled):
        raise ValueError(
            f"`strategy` must return {pool.budget} row numbers in [0, {len(pool.labelled)}), got shape "
            f"{tuple(rows.shape)} of {rows.dtype}."
        )
    if len(rows.unique()) < len(rows) or pool.labelled.cpu()[rows].any():
        raise ValueError("`strategy` returned a row twice or a labelled row: return different rows without a label.")
    return rows
