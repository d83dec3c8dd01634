"""Checks of a trainer before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, IterableDataset

from adapt.engine import runtime
from adapt.engine.description import describe, plain
from adapt.engine.readers import Readers
from adapt.engine.schedule import WEIGHT, at
from adapt.engine.term import Phase, Term, flatten
from adapt.protocols import Source, expect, expect_head
from adapt.streams import Stream
from losses.options import AT_LEAST_0, BETWEEN, COUNT, FROM_0, POSITIVE, check, is_number, or_none


def check_choice(option: str, value: object, known: Sequence[str]) -> None:
    """Raise unless `value` is among the words known to an option."""
    if value not in known:
        raise ValueError(f"`{option}` must be {' or '.join(repr(k) for k in known)}, got {value!r}.")


def checked_numbers(accumulate: Any, clip: Any, ema: Any, seed: Any, keep: Any, **intervals: Any) -> tuple[Any, ...]:
    """Return the numbers of a trainer as numbers of Python, which a checkpoint can hold, after a look at the ranges.

    Args:
        intervals: numbers of steps between two events.
    """
    check(COUNT, "1 is a step for each batch", accumulate=accumulate)
    check(or_none(POSITIVE), "None leaves the gradients as they are", clip=clip)
    check(or_none(BETWEEN), "0.999 is usual, and None keeps no average", ema=ema)
    check(FROM_0, "any such number names a run", seed=seed)
    check(COUNT, "a run goes on from the newest checkpoint", keep=keep)
    check(COUNT, "for never give a number above the steps of the run, such as `10**9`", **intervals)
    return plain((accumulate, clip, ema, seed, keep, *intervals.values()))


def check_factories(optimizer: Any, schedule: Any, encoder_scale: Any) -> None:
    """Raise unless `optimizer`, `schedule` and `encoder_scale` have the form that a trainer calls."""
    check_optimizer("`optimizer`", optimizer)
    if isinstance(schedule, type | str) or not (callable(schedule) or is_number(schedule)):
        raise TypeError(
            "`schedule` must be a number or a function from the progress in [0, 1] to a factor on the learning rates, "
            f"got {shown(schedule)}: give `engine.cosine()`, or `lambda progress: ...`. A scheduler of torch belongs "
            "to another loop."
        )
    try:
        first = at(schedule, 0.0)
    except TypeError as error:
        raise TypeError(
            f"`schedule` must be a function of the progress alone, got `{describe(schedule)}`, which raised {error}: "
            "give a call of it, such as `engine.cosine()`."
        ) from error
    check(AT_LEAST_0, "return a factor on the learning rates for each progress in [0, 1]", schedule=plain(first))
    _check_scale(encoder_scale)


def check_optimizer(what: str, factory: Any) -> None:
    """Raise a TypeError unless `factory` is a function from parameter groups to an optimizer."""
    if callable(factory) and not isinstance(factory, torch.optim.Optimizer):
        return
    name = type(factory).__name__ if isinstance(factory, torch.optim.Optimizer) else "AdamW"
    raise TypeError(
        f"{what} must be a function from parameter groups to an optimizer, got {shown(factory)}: the trainer makes the "
        f"optimizer of its parameters, give `partial(torch.optim.{name}, lr=1e-3)`."
    )


def shown(value: Any) -> str:
    """Return a short text about a value of a wrong kind, for messages."""
    if isinstance(value, str | int | float):
        return repr(value)
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _check_scale(scale: Any) -> None:
    if isinstance(scale, Mapping):
        for part in scale.values():
            _check_scale(part)
    else:
        check(WEIGHT, "1 is the rate of the heads, 0 learns nothing", encoder_scale=scale)


def phases_of(terms: Any, phases: Any) -> list[Phase]:
    """Return `phases`, or a single phase with `terms`.

    Raises:
        ValueError: both `terms` and `phases` are given, or neither.
    """
    if (terms is None) == (phases is None):
        raise ValueError(f"give either `terms` or `phases`, got {'neither' if terms is None else 'both'}.")
    if phases is None:
        return [Phase([terms] if isinstance(terms, Term) else flatten(terms or ()))]
    found = [phases] if isinstance(phases, Phase) else list(phases)
    for phase in found:
        if not isinstance(phase, Phase):
            raise TypeError(f"`phases` must hold phases, got {shown(phase)}: give `phases=[Phase(terms, ...)]`.")
        if phase.optimizer is not None:
            check_optimizer(f"`optimizer` of phase `{phase.name}`", phase.optimizer)
    return found


def by_name(streams: Any) -> dict[str, Any]:
    """Return the streams of a trainer by name."""
    if not isinstance(streams, Mapping | None):
        raise TypeError(
            f"`streams` must be streams by name, got {shown(streams)}: give `streams={{'source': Stream(...)}}`."
        )
    return dict(streams or {})


def check_streams(streams: Mapping[str, Any]) -> None:
    """Raise unless every stream offers the members of :class:`adapt.protocols.Source`."""
    for name, stream in streams.items():
        remedy = "take `Stream(dataset, batch_size)`"
        if isinstance(stream, DataLoader):
            remedy = "take its data set, `Stream(loader.dataset, loader.batch_size)`"
        elif isinstance(stream, tuple):
            remedy = "take `Stream(datasets.arrays(inputs, labels), batch_size)`"
        elif isinstance(stream, IterableDataset):
            remedy = "read the rows first, `Stream(list(dataset), batch_size)`"
        expect(stream, Source, f"`streams[{name!r}]`", remedy)
    for name, stream in streams.items():
        if isinstance(stream, Stream) and stream.rows_of is not None:
            _check_same_rows(name, stream, streams)


def _check_same_rows(name: str, stream: Stream, streams: Mapping[str, Any]) -> None:
    other = streams.get(stream.rows_of or "")
    if not isinstance(other, Stream) or other.rows_of is not None:
        owners = [n for n, s in streams.items() if isinstance(s, Stream) and s.rows_of is None]
        raise ValueError(
            f"`rows_of` of stream `{name}` must name a stream with an order of its own, got {stream.rows_of!r}: name "
            f"one of {owners}."
        )
    if not stream.same_rows_as(other):
        raise ValueError(
            f"stream `{name}` reads the rows of stream `{stream.rows_of}`, so both must have the same number of rows, "
            f"`batch_size`, `shuffle`, `sampling` and `last`, got {stream!r} and {other!r}."
        )


def check_passes(readers: Readers, streams: Mapping[str, Source], passes: str, batch_norm: str) -> None:
    """Raise where ranks could run different numbers of passes, and would wait for each other in BatchNorm forever.

    Joint passes depend on the shapes of the batch. Where `collate` decides about shapes, ranks may differ.
    """
    if runtime.world_size() == 1 or (passes, batch_norm) != ("joint", "global"):
        return
    for encoder in readers.every:
        together = {n: s for n, s in streams.items() if readers.reader(n) is encoder}
        known = {n: s for n, s in together.items() if isinstance(s, Stream)}
        own = [name for name, s in known.items() if s.form.collate is not None]
        views = len(together) + sum(len(s.views) - 1 for s in known.values())
        if own and views > 1 and any(isinstance(m, _BatchNorm) for m in encoder.modules()):
            raise ValueError(
                f"the shapes of stream `{own[0]}` depend on its `collate`, so ranks may run different passes and "
                'BatchNorm over all ranks would wait forever: take `passes="separate"` or `batch_norm="rank"`.'
            )


def check_watched(watch: Mapping[str, Any], readers: Readers) -> None:
    """Raise unless every entry is (head, dataset), or (head, dataset, name of a stream)."""
    for name, entry in watch.items():
        what = f"`watch[{name!r}]`"
        if not isinstance(entry, tuple | list) or not 2 <= len(entry) <= 3:
            raise TypeError(f"{what} must be (head, dataset) or (head, dataset, stream), got a {type(entry).__name__}.")
        expect_head(entry[0], what)
        readers.path(entry[2] if len(entry) == 3 else None)
