"""The rows of a domain where features have places: one row for each input, or one for each token or pixel."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from adapt.encoders.pooling import main_tensor
from adapt.engine import Step

Level = Literal["pooled", "places"] | Callable[[Tensor], Tensor] | None


def as_rows(features: Any, level: Level) -> Tensor:
    """Return the rows of a domain: ``(rows, d)``.

    Args:
        features: ``(n, d)``; ``(n, t, d)`` tokens; a map, ``(n, d, h, w)``; or a pyramid, of which the coarsest map
            counts, the first.
        level: None, the default of all methods, takes ``(n, d)`` features as they are. ``"pooled"`` averages over
            places. ``"places"`` makes each place a row, ``(n * t, d)`` or ``(n * h * w, d)``. A function maps the
            features to ``(rows, d)``, with the same number of rows for each input.

    Raises:
        ValueError: features with places and no level.
    """
    if callable(level):
        return level(features)
    features = main_tensor(features)
    if features.ndim == 2:
        return features
    if level is None:
        raise ValueError(
            f"the features have places, shape {tuple(features.shape)}: say what a row of a domain is, "
            '`level="pooled"` (an input) or `level="places"` (a token, a pixel).'
        )
    places = features.flatten(2).transpose(1, 2) if features.ndim > 3 else features  # (n, places, d)
    return places.mean(1) if level == "pooled" else places.flatten(0, 1)


def both(step: Step, source: str, target: str, level: Level) -> tuple[Tensor, Tensor]:
    """Return the rows of two streams at the same level."""
    return as_rows(step[source].features, level), as_rows(step[target].features, level)


def joined(step: Step, source: str, target: str, level: Level) -> tuple[Tensor, int]:
    """Return the rows of two streams, the source first, and the number of source rows."""
    n, m = len(step[source].index), len(step[target].index)
    rows = as_rows(step.features(source, target), level)
    return rows, len(rows) // (n + m) * n


def aligned(
    step: Step, *, loss: Callable[..., Tensor], source: str, target: str, level: Level, **options: Any
) -> Tensor:
    """Return `loss` between the rows of two streams."""
    return loss(*both(step, source, target, level), **options)


def on_predictions(step: Step, *, loss: Callable[..., Tensor], head: Any, target: str, **options: Any) -> Tensor:
    """Return `loss` of the predictions of `head` on a stream."""
    return loss(step.output(head, target), **options)


def with_source_labels(
    step: Step, *, loss: Callable[..., Tensor], head: Any, source: str, target: str, **options: Any
) -> Tensor:
    """Return `loss` between two streams, the source with labels and the target with predictions of `head`."""
    s, t = step[source], step[target]
    return loss(s.features, t.features, s.labels, step.output(head, target), **options)
