"""Weights of the classes in a loss."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy
import torch
from torch import Tensor

from adapt.heads.labels import present
from losses.options import AT_LEAST_0, BELOW_1, check, each

Weight = Literal["balanced"] | Sequence[float] | None


def check_weight(weight: Weight | Tensor, names: Sequence[str]) -> Literal["balanced"] | tuple[float, ...] | None:
    """Return plain numbers, one per class, or `weight` where it is None or ``"balanced"``.

    Raises:
        ValueError: another word; numbers that are not one per class, negative, not finite or all zero.
    """
    if weight is None:
        return None
    if isinstance(weight, str):
        if weight != "balanced":
            raise ValueError(f'`weight` must be "balanced" or one number per class, got {weight!r}.')
        return "balanced"
    if not isinstance(weight, Tensor):
        check(each(AT_LEAST_0), 'give one number per class, or "balanced"', weight=weight)
    found = weight.detach().cpu().double() if isinstance(weight, Tensor) else torch.tensor(numpy.asarray(weight, float))
    if found.shape != (len(names),) or not found.isfinite().all() or found.min() < 0 or not found.any():
        shown = found.tolist() if found.numel() <= 10 else f"shape {tuple(found.shape)}"
        raise ValueError(
            f"`weight` must have one finite number per class, {len(names)} in all, none negative and not all zero, got "
            f"{shown}: give a number for each of {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}, or "
            '"balanced".'
        )
    return tuple(found.tolist())


def check_smoothing(label_smoothing: float) -> float:
    """Return the smoothing as a plain number.

    Raises:
        ValueError: a smoothing outside [0, 1).
    """
    check(BELOW_1, "torch's usual value is 0.1", label_smoothing=label_smoothing)
    return float(label_smoothing)


def balanced(labels: Tensor, names: Sequence[str]) -> tuple[float, ...]:
    r"""Return :math:`n / (C\, n_c)`: all classes then have equal weight together. Missing labels do not count.

    Raises:
        ValueError: a class without a label.

    >>> balanced(torch.tensor([0, 0, 0, 1]), ["cat", "dog"])
    (0.6666666666666666, 2.0)
    """
    y = labels[present(labels)].long()
    counts = torch.bincount(y, minlength=len(names)).double()
    if lacking := [names[k] for k in (counts == 0).nonzero().flatten().tolist()]:
        raise ValueError(
            f'`weight="balanced"` needs a label of every class, found none of {", ".join(lacking[:5])}: give one '
            "number per class, or leave the class out."
        )
    return tuple((len(y) / (len(names) * counts)).tolist())


def weights_of(weight: object, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Return the class weights of a head as a tensor, None without weights.

    Raises:
        ValueError: balanced weights before the labels are known.
    """
    if weight == "balanced":
        raise ValueError(
            '`weight="balanced"` needs the labels of all rows first: train the head with a stream whose labels lie in '
            "memory, call `head.learn_from(labels)`, or give one number per class."
        )
    return tensor_of(weight, dtype, device) if isinstance(weight, tuple) else None


@lru_cache(maxsize=32)  # a copy to a GPU in every step would wait for the device
def tensor_of(weight: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the weights as a tensor, which nobody may change."""
    return torch.tensor(weight, dtype=dtype, device=device)
