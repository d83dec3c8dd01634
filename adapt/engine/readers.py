"""The encoder of each stream, where a trainer has one encoder or several by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from adapt.engine.step import unknown_stream
from adapt.engine.term import Phase
from adapt.protocols import Encoder, NamesEncoder, Source, TellsStreamsApart, expect, offers


class Encoders(nn.ModuleDict):
    """Several encoders by name. Each stream names the encoder of the stream."""


class Readers:
    """The encoder of each stream.

    Args:
        encoder: a module, or several modules by name.
        streams: where encoders have names, each stream names its encoder; a single encoder needs no name.
        phases: of the trainer; terms may ask for layers.

    Attributes:
        module: the encoder, or :class:`Encoders`; moved, trained and saved by the trainer.
        of: the encoder, or the encoder of each stream by the name of the stream.
        announced: the encoders with a separate treatment of each stream.

    Raises:
        TypeError: an encoder that is no module, or has no named layers where a term asks for layers.
        ValueError: no encoder; a stream without the name of an encoder, or with an unknown name; an encoder without a
            stream; a layer that no encoder of the streams of the term has.
    """

    def __init__(
        self, encoder: nn.Module | Mapping[str, nn.Module], streams: Mapping[str, Source], phases: Sequence[Phase]
    ):
        self.names: dict[str, str] | None = None  # by stream
        if type(encoder) is nn.ModuleDict:  # a subclass may be one encoder, with a `forward`
            encoder = dict(encoder.items())
        if isinstance(encoder, Mapping):
            _check_names(encoder)
            self.names = {name: _named(name, _asked(stream), list(encoder)) for name, stream in streams.items()}
            if unread := [name for name in encoder if name not in self.names.values()]:
                raise ValueError(
                    f"encoder {unread[0]!r} is read by no stream and would not be trained: name the encoder in a "
                    f"stream, `Stream(..., encoder={unread[0]!r})`, or leave the encoder out."
                )
            self.module: nn.Module = Encoders(encoder)
            self.of: nn.Module | dict[str, nn.Module] = {s: encoder[name] for s, name in self.names.items()}
            self.every = list(encoder.values())
        else:
            _check_module("`encoder`", encoder)
            if named := [name for name, stream in streams.items() if _asked(stream) is not None]:
                raise ValueError(
                    f"stream `{named[0]}` names the encoder {_asked(streams[named[0]])!r}, and `encoder` of this "
                    "trainer is one encoder without a name: leave the name out, or give `encoder={name: module}`."
                )
            self.module, self.of, self.every = encoder, encoder, [encoder]
        self.announced = frozenset(e for e in self.every if offers(e, TellsStreamsApart))
        self._check_layers(phases)

    def compile(self, options: bool | dict) -> None:
        """Compile every encoder, with `options` as the arguments; False and an empty dict compile nothing."""
        for encoder in self.every if options else ():
            encoder.compile(**(options if isinstance(options, dict) else {}))

    def reader(self, stream: str) -> nn.Module:
        """Return the encoder of a stream."""
        return self.of if isinstance(self.of, nn.Module) else self.of[stream]

    def path(self, stream: str | None) -> str:
        """Return the path of the encoder of `stream` inside the network of the trainer.

        Without a stream, the encoder of all streams.

        Raises:
            ValueError: several encoders, and no stream.
            KeyError: several encoders, and an unknown stream.
        """
        if self.names is None:
            return "encoder"
        if stream is not None and stream not in self.names:
            raise unknown_stream(stream, self.names)
        found = sorted(set(self.names.values()) if stream is None else {self.names[stream]})
        if len(found) > 1:
            raise ValueError(
                f"`stream` must say which encoder reads the rows, since the streams have the encoders "
                f"{', '.join(map(repr, found))}: give the name of a stream, `stream={next(iter(self.names))!r}`."
            )
        return f"encoder.{found[0]}"

    def _check_layers(self, phases: Sequence[Phase]) -> None:
        for term in dict.fromkeys(term for phase in phases for term in phase.terms if term.layers):
            asked = self.every if self.names is None else [self.reader(s) for s in term.streams or self.names]
            named = [e for e in asked if offers(e, Encoder)] or [
                expect(asked[0], Encoder, "`encoder` of a term with `layers`", "take `encoders.wrap(module)`")
            ]
            known = list(dict.fromkeys(layer for e in named for layer in e.layers))
            for name in term.layers:
                if name not in known:
                    raise ValueError(f"layer `{name}` was asked for by a term, and the encoder has {known or 'none'}.")


def _check_module(what: str, encoder: object) -> None:
    if not isinstance(encoder, nn.Module):
        raise TypeError(
            f"{what} must be a torch module, got a {type(encoder).__name__}: wrap a function in a module with "
            "`forward`, and the module with `encoders.wrap(module)`."
        )


def _check_names(encoders: Mapping[str, Any]) -> None:
    if not encoders:
        raise ValueError("`encoder` must hold at least one encoder, got an empty mapping: `{name: module}`.")
    for name, encoder in encoders.items():
        if not isinstance(name, str) or "." in name or name in ("", *dir(nn.ModuleDict)):
            raise ValueError(f"{name!r} cannot name an encoder: expected a text without dots that is no torch method.")
        _check_module(f"`encoder[{name!r}]`", encoder)


def _asked(stream: Source) -> str | None:
    return stream.encoder if offers(stream, NamesEncoder) else None


def _named(stream: str, asked: str | None, names: Sequence[str]) -> str:
    """Return the name of the encoder of a stream."""
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None or asked not in names:
        found = "no encoder" if asked is None else repr(asked)
        raise ValueError(
            f"stream `{stream}` must name one of the encoders {', '.join(map(repr, names))}, got {found}: "
            f"`Stream(..., encoder={names[0]!r})`."
        )
    return asked
