"""What every loss asks of its arguments: the checks at the door and the precision inside."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 where it came so: half precision features are fine, half precision sums are not."""
    return x if x.dtype == torch.float64 else x.float()


def check_logits(name: str, logits: Tensor) -> None:
    """Raise unless `logits` is ``(n, classes)`` with at least one row."""
    if logits.ndim != 2 or logits.shape[0] == 0:
        raise ValueError(f"`{name}` must be (n, classes) with n >= 1, got shape {tuple(logits.shape)}.")


def check_dense_logits(name: str, logits: Tensor) -> None:
    """Raise unless `logits` is ``(n, classes, ...)`` with at least one row: torch's layout, classes second."""
    if logits.ndim < 2 or logits.numel() == 0:
        raise ValueError(f"`{name}` must be (n, classes) or (n, classes, ...) with n >= 1, got {tuple(logits.shape)}.")


def check_labels(labels: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless `labels` are whole numbers, one for each place of `shape`."""
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise ValueError(f"`labels` must be whole numbers (class indices), got dtype {labels.dtype}.")
    if labels.shape != torch.Size(shape):
        raise ValueError(f"`labels` must hold one class for each row, shape {shape}, got {tuple(labels.shape)}.")


def check_features(name: str, features: Tensor) -> None:
    """Raise unless `features` is ``(n, d)`` with at least one row."""
    if features.ndim != 2 or features.shape[0] == 0:
        raise ValueError(
            f"`{name}` must be (n, d) features with n >= 1, got shape {tuple(features.shape)}; "
            "pool or flatten the other dimensions first."
        )


def check_clouds(source: Tensor, target: Tensor) -> None:
    """Raise unless `source` and `target` are ``(n, d)`` and ``(m, d)`` with n, m >= 1."""
    check_features("source", source)
    check_features("target", target)
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"`source` and `target` must have the same feature size, got {source.shape[1]} and {target.shape[1]}."
        )


def check_same_shape(**pair: Tensor) -> None:
    """Raise unless the two named tensors have one shape, with at least one row."""
    (first, a), (second, b) = pair.items()
    if a.shape != b.shape or a.ndim == 0 or a.shape[0] == 0:
        raise ValueError(
            f"`{first}` and `{second}` must have the same shape with n >= 1 rows, got {tuple(a.shape)} and {tuple(b.shape)}."
        )


def check_rows(source: Tensor, target: Tensor, what: str, remedy: str) -> None:
    """Raise unless both clouds have the two rows that `what` is defined for."""
    if source.shape[0] < 2 or target.shape[0] < 2:
        raise ValueError(
            f"{what} needs at least 2 rows in `source` and in `target`, "
            f"got {source.shape[0]} and {target.shape[0]}; {remedy}."
        )


def check_positive(**numbers: float) -> None:
    """Raise unless each named number is positive."""
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"`{name}` must be positive, got {value}.")


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """``(..., classes)`` of 0 and 1 in the precision of `like`; no host synchronisation, compiles, batches."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).to(like.dtype)
