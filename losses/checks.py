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


def check_clouds(source: Tensor, target: Tensor) -> None:
    """Raise unless `source` and `target` are ``(n, d)`` and ``(m, d)`` with n, m >= 1."""
    for name, x in (("source", source), ("target", target)):
        if x.ndim != 2 or x.shape[0] == 0:
            raise ValueError(
                f"`{name}` must be (n, d) features with n >= 1, got shape {tuple(x.shape)}; "
                "pool or flatten the other dimensions first."
            )
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"`source` and `target` must have the same feature size, got {source.shape[1]} and {target.shape[1]}."
        )


def check_rows(source: Tensor, target: Tensor, what: str, remedy: str) -> None:
    """Raise unless both clouds have the two rows that `what` is defined for."""
    if source.shape[0] < 2 or target.shape[0] < 2:
        raise ValueError(
            f"{what} needs at least 2 rows in `source` and in `target`, "
            f"got {source.shape[0]} and {target.shape[0]}; {remedy}."
        )
