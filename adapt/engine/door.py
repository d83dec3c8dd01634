"""Checks of a trainer before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.engine import runtime
from adapt.engine.evaluate import check_labelled, form_of
from adapt.engine.term import Phase, Term, flatten
from adapt.protocols import Encoder, Source, expect, expect_head
from adapt.streams import Stream


def check_choice(option: str, value: object, known: Sequence[str]) -> None:
    """Raise unless `value` is among the words known to an option."""
    if value not in known:
        raise ValueError(f"`{option}` must be {' or '.join(repr(k) for k in known)}, got {value!r}.")


def phases_of(terms: Sequence[Term | Sequence[Term]] | None, phases: Sequence[Phase] | None) -> list[Phase]:
    """Return `phases`, or a single phase with `terms`.

    Raises:
        ValueError: both `terms` and `phases` are given, or neither.
    """
    if phases is not None and terms is None:
        return list(phases)
    if terms is None or phases is not None:
        raise ValueError("give either `terms` or `phases`.")
    return [Phase(flatten(terms))]


def check_encoder(encoder: object, phases: Sequence[Phase]) -> None:
    """Raise unless the encoder is a module with the layers that the terms ask for.

    Raises:
        TypeError: no module, or no named layers where a term asks for layers.
        ValueError: a layer that the encoder does not have.
    """
    if not isinstance(encoder, nn.Module):
        raise TypeError(
            f"`encoder` must be a torch module, got a {type(encoder).__name__}: wrap a function in a module with "
            "`forward`, and "
            "the module with `encoders.wrap(module)`."
        )
    for name in dict.fromkeys(name for phase in phases for name in phase.layers):
        layers = expect(encoder, Encoder, "`encoder` of a term with `layers`", "take `encoders.wrap(module)`").layers
        if name not in layers:
            raise ValueError(f"layer `{name}` was asked for by a term, and the encoder has {list(layers) or 'none'}.")


def check_streams(streams: Mapping[str, Any]) -> None:
    """Raise unless every stream offers the members of :class:`adapt.protocols.Source`."""
    for name, stream in streams.items():
        expect(stream, Source, f"`streams[{name!r}]`", "take `Stream(dataset, batch_size)`")


def check_passes(encoder: nn.Module, streams: Mapping[str, Source], passes: str, batch_norm: str) -> None:
    """Raise where ranks could run different numbers of passes, and would wait for each other in BatchNorm forever.

    Joint passes depend on the shapes of the batch. Where `collate` decides about shapes, ranks may differ.
    """
    if runtime.world_size() == 1 or (passes, batch_norm) != ("joint", "global"):
        return
    known = {name: s for name, s in streams.items() if isinstance(s, Stream)}
    own = [name for name, s in known.items() if s.form.collate is not None]
    views = len(streams) + sum(len(s.views) - 1 for s in known.values())
    if own and views > 1 and any(isinstance(m, _BatchNorm) for m in encoder.modules()):
        raise ValueError(
            f"the shapes of stream `{own[0]}` depend on its `collate`, so ranks may run different passes and BatchNorm "
            'over all ranks would wait forever: take `passes="separate"` or `batch_norm="rank"`.'
        )


def check_watched(watch: Mapping[str, Any], streams: Mapping[str, Source]) -> None:
    """Raise unless every entry is (head, labelled dataset), or (head, labelled dataset, name of a stream)."""
    for name, entry in watch.items():
        what = f"`watch[{name!r}]`"
        if not isinstance(entry, tuple | list) or not 2 <= len(entry) <= 3:
            raise TypeError(f"{what} must be (head, dataset) or (head, dataset, stream), got a {type(entry).__name__}.")
        expect_head(entry[0], what)
        check_labelled(what, entry[1], form_of(streams, entry[2] if len(entry) == 3 else None))
