"""Checks and losses of several labelled streams."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapt.engine import Step, gather
from adapt.engine.step import unknown_stream
from adapt.protocols import Head, LearnsFromLabels, Source, offers


def check_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the names of two streams or more.

    Raises:
        ValueError: a text in place of a list, fewer than two names, or a name twice.
    """
    if isinstance(sources, str) or len(sources) < 2 or len(set(sources)) < len(sources):
        raise ValueError(
            f"`sources` must name at least two different streams, got {sources!r}; for a single source take a method "
            "with a `source` argument."
        )
    return tuple(sources)


def check_labels(head: Head, streams: Mapping[str, Source], sources: Sequence[str]) -> None:
    """Raise unless the streams have labels. Labels in memory are checked by `head`.

    Raises:
        KeyError: a stream with an unknown name.
        ValueError: a stream without labels, or labels for which `head` was not made.
    """
    for name in sources:
        if name not in streams:
            raise unknown_stream(name, streams)
        if not streams[name].labels:
            raise ValueError(
                f"stream `{name}` was made with `labels=False` and this method learns from its labels: name labelled "
                "streams, or give this one its labels."
            )
        labels = streams[name].all_labels()
        if labels is not None:
            head.check(labels)
        if offers(head, LearnsFromLabels):
            head.learn_from(labels)


def risks(step: Step, head: Any, sources: Sequence[str]) -> Tensor:
    """Return ``(k,)``, the mean loss of `head` on each stream over the rows of all ranks, with gradient."""
    own = [head.loss(step.output(head, name), step[name].labels) for name in sources]
    return gather(torch.stack(own)[None]).mean(0)
