"""Which rows a domain is made of where features have places."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from adapt.engine import Step

Level = Literal["rows", "pooled", "places"] | Callable[[Tensor], Tensor]


def as_rows(features: Tensor, level: Level) -> Tensor:
    """The rows that are aligned.

    Args:
        features: ``(n, d)``; ``(n, t, d)`` tokens; or a map, ``(n, d, h, w)``.
        level: ``"rows"`` takes ``(n, d)`` features as they are; ``"pooled"`` averages over places; ``"places"`` makes each
            place a row of its own, ``(n * t, d)`` or ``(n * h * w, d)``; or any function to ``(rows, d)`` with the same
            number of rows for each input.

    Raises:
        ValueError: features with places at the level ``"rows"``, or an unknown level.
    """
    if callable(level):
        return level(features)
    if level not in ("rows", "pooled", "places"):
        raise ValueError(f'`level` must be "rows", "pooled", "places" or a function, got {level!r}.')
    if features.ndim == 2:
        return features
    if level == "rows":
        raise ValueError(
            f"the features have places, shape {tuple(features.shape)}: say what a row of a domain is, "
            '`level="pooled"` (an input) or `level="places"` (a token, a pixel).'
        )
    places = features.flatten(2).transpose(1, 2) if features.ndim > 3 else features  # (n, places, d)
    return places.mean(1) if level == "pooled" else places.flatten(0, 1)


def both(step: Step, source: str, target: str, level: Level) -> tuple[Tensor, Tensor]:
    """The rows of two streams at one level."""
    return as_rows(step[source].features, level), as_rows(step[target].features, level)


def joined(step: Step, source: str, target: str, level: Level) -> tuple[Tensor, int]:
    """The rows of two streams behind each other, and how many are the source's."""
    n, m = len(step[source].index), len(step[target].index)
    rows = as_rows(step.features(source, target), level)
    return rows, len(rows) // (n + m) * n


def classes_of(
    head: torch.nn.Module, method: str, instead: str = "domain.dann, domain.dan or domain.deep_coral"
) -> int:
    """How many classes `head` tells apart; a clear error for a head whose outputs are not exclusive classes."""
    classes = getattr(head, "classes", None)
    if not isinstance(classes, int):
        raise TypeError(
            f"{method} asks which class a row is predicted to be, and a {type(head).__name__} has no `classes` that "
            f"exclude one another: use {instead}, which look at features alone."
        )
    return classes
