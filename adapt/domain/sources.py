"""What methods over several labelled streams share: what they ask of the streams, and the risks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.engine import Step, gather
from adapt.engine.step import unknown_stream
from adapt.streams import Stream


def check_names(sources: Sequence[str]) -> tuple[str, ...]:
    """The names of two streams or more; raise for a single string, fewer, or one that comes twice."""
    if isinstance(sources, str) or len(sources) < 2 or len(set(sources)) < len(sources):
        raise ValueError(
            f"`sources` must name at least two different streams, got {sources!r}; for a single source take a method "
            "with a `source` argument."
        )
    return tuple(sources)


def check_classes(head: nn.Module) -> int:
    """The number of classes of a classifier; raise for any other head."""
    classes = getattr(head, "classes", None)
    if not isinstance(classes, int):
        raise TypeError(
            f"`head` must be a classifier with a number of `classes`, got {type(head).__name__}: this method is defined "
            "on class probabilities."
        )
    return classes


def check_labels(head: nn.Module, streams: Mapping[str, Stream], sources: Sequence[str]) -> None:
    """Raise unless the streams carry labels and, where these lie in memory, `head` can take them."""
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
            head.check(labels)  # type: ignore[operator]


def risks(step: Step, head: nn.Module, sources: Sequence[str]) -> Tensor:
    """``(k,)``, the head's mean loss on each stream over the rows of all ranks, with its gradient."""
    own = [head.loss(step.output(head, name), step[name].labels) for name in sources]  # type: ignore[operator]
    return gather(torch.stack(own)[None]).mean(0)
