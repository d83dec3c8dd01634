"""Checks of the arguments of every loss, and the precision inside of a loss."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, and float64 unchanged: features in half precision are fine, sums in it are not."""
    check_real("an argument", x)
    return x if x.dtype == torch.float64 else x.float()


def full_precision(x: Tensor) -> AbstractContextManager:
    """Return a context for products of tensors like `x`, in which a caller's autocast does not use half precision."""
    return torch.autocast(x.device.type, enabled=False) if x.device.type != "meta" else nullcontext()


def check_real(name: str, x: Tensor) -> None:
    """Raise unless `x` is a tensor of real numbers: a conversion would drop the imaginary part without a word."""
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(x).__name__}; use `torch.as_tensor(...)`.")
    if x.dtype.is_complex:
        raise ValueError(f"`{name}` must hold real numbers, got {x.dtype}; use `.abs()` or `torch.view_as_real(...)`.")


def check_logits(name: str, logits: Tensor) -> None:
    """Raise unless `logits` is ``(n, classes)`` with at least one row."""
    check_real(name, logits)
    if logits.ndim != 2 or logits.shape[0] == 0:
        raise ValueError(f"`{name}` must be (n, classes) with n >= 1, got shape {tuple(logits.shape)}.")


def check_dense_logits(name: str, logits: Tensor) -> None:
    """Raise unless `logits` is ``(n, classes, ...)`` with at least one row: torch's layout, classes second."""
    check_real(name, logits)
    if logits.ndim < 2 or logits.numel() == 0:
        raise ValueError(f"`{name}` must be (n, classes) or (n, classes, ...) with n >= 1, got {tuple(logits.shape)}.")


def check_labels(labels: Tensor, shape: tuple[int, ...], *, name: str = "labels") -> None:
    """Raise unless `labels` are whole numbers, with a number for each place of `shape`."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"`{name}` must be a tensor, got {type(labels).__name__}; use `torch.as_tensor(...)`.")
    if labels.dtype.is_floating_point or labels.dtype.is_complex:
        raise ValueError(f"`{name}` must be whole numbers (class indices), got dtype {labels.dtype}; use `.long()`.")
    if labels.shape != torch.Size(shape):
        raise ValueError(f"`{name}` must hold one class for each row, shape {shape}, got {tuple(labels.shape)}.")


def check_features(name: str, features: Tensor) -> None:
    """Raise unless `features` is ``(n, d)`` with at least one row."""
    check_real(name, features)
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
    if torch.float64 in (source.dtype, target.dtype) and source.dtype != target.dtype:
        raise ValueError(
            f"`source` and `target` must both be float64 or neither, got {source.dtype} and {target.dtype}; "
            "use `.float()` or `.double()` on one of them."
        )


def check_same_shape(**pair: Tensor) -> None:
    """Raise unless the two named tensors have one shape, with at least one row."""
    (first, a), (second, b) = pair.items()
    check_real(first, a)
    check_real(second, b)
    if a.shape != b.shape or a.ndim == 0 or a.shape[0] == 0:
        raise ValueError(
            f"`{first}` and `{second}` must have the same shape with n >= 1 rows, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )


def check_rows(source: Tensor, target: Tensor, what: str, remedy: str) -> None:
    """Raise unless both clouds have two rows, which `what` needs."""
    if source.shape[0] < 2 or target.shape[0] < 2:
        raise ValueError(
            f"{what} needs at least 2 rows in `source` and in `target`, "
            f"got {source.shape[0]} and {target.shape[0]}; {remedy}."
        )


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """``(..., classes)`` of 0 and 1 in the precision of `like`; no host synchronisation, compiles, batches."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).to(like.dtype)


def check_weights(weights: Tensor, shape: tuple[int, ...], name: str = "weights") -> None:
    """Raise unless `weights` has a weight for each place of `shape`."""
    if weights.shape != torch.Size(shape):
        raise ValueError(f"`{name}` must hold one number for each row, shape {shape}, got {tuple(weights.shape)}.")


def counted(x: Tensor, weights: Tensor | None, name: str = "weights") -> Tensor:
    """Return `x` with 0 where the weight is 0: a value of weight 0 (a label of 255 or -100, NaN) is never read."""
    if weights is None:
        return x
    check_weights(weights, tuple(x.shape), name)
    return x.masked_fill(weights == 0, 0)


def counted_logits(z: Tensor, weights: Tensor | None, name: str = "weights") -> Tensor:
    """Return ``(n, classes, ...)`` `z` with 0 where the ``(n, ...)`` weight is 0: softmax of such logits may be NaN."""
    if weights is None:
        return z
    check_weights(weights, (z.shape[0], *z.shape[2:]), name)
    return z.masked_fill((weights == 0).unsqueeze(1), 0)


def one_a_row(name: str, z: Tensor) -> Tensor:
    """`z` as ``(n,)`` in at least float32; raise unless it is ``(n,)`` or ``(n, 1)`` with a row."""
    check_real(name, z)
    if z.ndim not in (1, 2) or z.numel() != z.shape[0] or z.shape[0] == 0:
        raise ValueError(f"`{name}` must hold one number a row, (n,) or (n, 1) with n >= 1, got {tuple(z.shape)}.")
    return at_least_float32(z).reshape(-1)


def check_class_numbers(name: str, numbers: Tensor, classes: int) -> None:
    """Raise unless `numbers` is ``(classes,)``."""
    if numbers.shape != (classes,):
        raise ValueError(
            f"`{name}` must hold one number for each class, shape ({classes},), got {tuple(numbers.shape)}."
        )


def check_binary(name: str, labels: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless `labels` are 0 or 1 by their type (whole numbers or booleans), one for each place of `shape`."""
    if labels.dtype.is_floating_point or labels.dtype.is_complex:
        raise ValueError(
            f"`{name}` must be whole numbers 0 and 1 or booleans, got {labels.dtype}; use `{name}.bool()`."
        )
    if labels.shape != torch.Size(shape) or labels.numel() == 0:
        raise ValueError(f"`{name}` must have the shape of the logits, {shape} with n >= 1, got {tuple(labels.shape)}.")
