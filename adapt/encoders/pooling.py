"""Features of a layer: one row per input, or one row per place."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def main_tensor(output: Any) -> Tensor:
    """Return the output of a layer; of a tuple, list or mapping the first part (``last_hidden_state`` comes first)."""
    if isinstance(output, Mapping):
        return next(iter(output.values()))
    return output[0] if isinstance(output, tuple | list) else output


def pooled(output: Any) -> Tensor:
    """Return ``(n, d)`` as given, or the mean over the places of a map ``(n, d, h, w)`` or over tokens ``(n, t, d)``.

    Of a tuple, list or mapping the first part counts.
    """
    x = main_tensor(output)
    if x.ndim == 3:
        return x.mean(1)
    return x.flatten(2).mean(2) if x.ndim > 3 else x


def places(features: Tensor) -> Tensor:
    """Return ``(n, places, d)``: tokens ``(n, t, d)`` as given, or the places of a map ``(n, d, h, w)`` in rows."""
    return features.flatten(2).transpose(1, 2) if features.ndim > 3 else features
