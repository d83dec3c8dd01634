"""Alignment by sliced optimal transport."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

import losses
from adapt.domain.level import Level, aligned
from adapt.domain.options import check_options, loss_options
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule


def sliced(
    *,
    source: str = "source",
    target: str = "target",
    name: str = "sliced",
    weight: float | Schedule = ramp(1.0),
    level: Level = None,
    **options: Any,
) -> Term:
    """Align the features of two streams by the sliced Wasserstein distance, along directions drawn anew in each step.

    Args:
        source, target: streams; no labels are used.
        name: of the term.
        weight: of the term; Ganin's rise from 0 to 1.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        options: of :func:`losses.sliced_wasserstein`.

    Raises:
        TypeError: an option that :func:`losses.sliced_wasserstein` does not have.
        ValueError: an option with a wrong value.

    Lee et al., 2019, https://arxiv.org/abs/1902.00434
    """
    check_options(source=source, target=target, name=name, weight=weight, level=level)
    fixed = options.get("directions")
    size = fixed.shape[-1] if isinstance(fixed, Tensor) else 8
    drawn = {"generator": torch.Generator().manual_seed(0)}
    options = loss_options(losses.sliced_wasserstein, options, size=size, given=drawn)
    loss = partial(along_directions, source=source, target=target, level=level, **options)
    return Term(name, loss, weight, streams=[source, target])


def along_directions(step: Step, *, source: str, target: str, level: Level, **options: Any) -> Tensor:
    """Return the distance along the directions of this step."""
    parts: dict[str, Any] = {"source": source, "target": target, "level": level, "generator": step.generator}
    return aligned(step, loss=losses.sliced_wasserstein, **parts, **options)
