"""A training step as a term sees the step. Features and outputs are computed once, when a term asks first."""

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders import layer_outputs
from adapt.engine.passes import Pass
from adapt.engine.refused import explained
from adapt.protocols import Encoder, TellsStreamsApart, offers
from adapt.randomness import keyed_seed
from adapt.streams import Batch, Episode
from adapt.streams.collate import MASKS
from adapt.streams.tree import concatenate, map_tensors, structure

KeptPasses = dict[tuple[str, ...], Pass]  # by the names of the views


class Step:
    """The batches of a step, with the features of the encoder and the outputs of the heads.

    ``step["source"]`` is a :class:`View`; ``step.output(head, "source")`` is the output of a head on the features of
    the view; ``step.progress`` is the finished share of the run, in [0, 1]; ``step.generator`` is a CPU generator keyed
    by the seed and the number of the step, the same on every rank.

    Args:
        batches: of each stream, by name.
        encoder: from inputs to features; or the encoder of each stream, by the name of the stream.
        number: of the step.
        progress: finished share of the run.
        seed: of the run.
        streams: names of the streams with features for the terms; None means all.
        layers: names of layers of the encoder with outputs for the terms.
        passes: ``"joint"``, a single pass of the encoder over all views, or ``"separate"``, a pass for each view.
        encoder_learns: whether gradients reach the encoder.
        kept: passes since the last update of the encoder, from earlier phases of the same step.
        keep_graph: whether a pass without gradient keeps the graph for a later phase with a learning encoder.
        logging: whether reports of this step are read.
        known: the modules owned by terms; None for any.
        autocast: the precision of encoder and heads.
        announced: the encoders that must know the stream of each row; None asks the encoders.
        asked_for: gets the word ``"progress"`` when a term reads the progress.
    """

    def __init__(
        self,
        batches: Mapping[str, Batch],
        encoder: nn.Module | Mapping[str, nn.Module],
        *,
        number: int = 0,
        progress: float = 0.0,
        seed: int = 0,
        streams: Sequence[str] | None = None,
        layers: Sequence[str] = (),
        passes: str = "joint",
        encoder_learns: bool = True,
        kept: KeptPasses | None = None,
        keep_graph: bool = False,
        logging: bool = False,
        known: Collection[nn.Module] | None = None,
        autocast: torch.autocast | None = None,
        announced: Collection[Any] | None = None,
        asked_for: set[str] | None = None,
    ):
        self._encoder, self.number, self._progress, self.logging = encoder, number, progress, logging
        self._asked_for = asked_for
        self.passes: list[Pass] = []  # in the order in which they were made
        self.reports: dict[str, Tensor | float] = {}
        self._batches, self._asked, self._layers, self._joint = batches, streams, tuple(layers), passes == "joint"
        self._encoder_learns, self._kept, self._keep_graph = encoder_learns, {} if kept is None else kept, keep_graph
        self._seed, self._known, self._autocast = seed, known, autocast
        self._announced = _announced(encoder) if announced is None else announced
        self._pass_of: dict[str, Pass] = {}  # by the name of a view
        self._generators: list[torch.Generator] = []  # the one of this step, once a term asked for it
        self._begin(Step._as_returned)

    def encoder_of(self, *streams: str) -> nn.Module:
        """Return the encoder of one or several streams.

        Raises:
            ValueError: the streams have different encoders.
            KeyError: an unknown stream.
        """
        if isinstance(self._encoder, nn.Module):
            return self._encoder
        first, *others = [self._encoder[self[name].stream] for name in streams]
        if any(other is not first for other in others):
            raise ValueError(
                f"the streams {', '.join(f'`{n}`' for n in streams)} must have one encoder, got several: name streams "
                "of one encoder."
            )
        return first

    def _begin(self, read: Callable[["Step", Pass], Any]) -> None:
        """Start with no features and no outputs."""
        self._read = read
        self._views = {name: View(self, name, batch) for name, batch in self._batches.items()}
        self._features: dict[str, Any] = {}  # by the name of a view
        self._outputs: dict[tuple[nn.Module, str], Tensor] = {}

    def _as_returned(self, made: Pass) -> Any:
        return made.features

    def read_by(self, read: Callable[["Step", Pass], Any]) -> "Step":
        """Return the same step for a reader with the features ``read(step, pass)`` in place of ``pass.features``.

        Both steps share passes, generator and reports. Outputs of heads depend on the features and are not shared.
        """
        other = copy(self)
        other._begin(read)
        return other

    def __getitem__(self, stream: str) -> "View":
        try:
            return self._views[stream]
        except KeyError:
            raise unknown_stream(stream, self._views) from None

    @property
    def progress(self) -> float:
        if self._asked_for is not None:
            self._asked_for.add("progress")
        return self._progress

    @property
    def generator(self) -> torch.Generator:
        if not self._generators:
            self._generators.append(torch.Generator().manual_seed(keyed_seed(self._seed, "step", self.number)))
        return self._generators[0]

    def call(self, module: nn.Module, *inputs: Any) -> Tensor:
        """Return the output of `module` on `inputs` under the precision of the run, as float32 or more."""
        if self._known is not None and module not in self._known:
            raise ValueError(
                f"a {type(module).__name__} was called in a step and no term owns it, so it would not be trained or "
                "saved: pass it to its term, `Term(..., modules=[head])`."
            )
        if self._autocast is None:
            return at_least_float32(module(*inputs))
        with self._autocast:
            return at_least_float32(module(*inputs))

    def output(self, head: nn.Module, stream: str) -> Tensor:
        """Return the output of `head` on the features of `stream`. A second call returns the same tensor."""
        found = self._outputs.get((head, stream))
        if found is None:
            found = self._outputs[head, stream] = self.call(head, self[stream].features)
        return found

    def features(self, *streams: str) -> Any:
        """Return the features of several streams behind each other; no copy where a single pass gave all."""
        parts = [self[name].features for name in streams]
        made = self._pass_of[streams[0]]
        return self._read(self, made) if made.views == streams else concatenate(parts)

    def report(self, name: str, value: Tensor | float) -> None:
        """Show a scalar in TensorBoard. Ask `step.logging` before the computation: other steps do not read reports."""
        self.reports[name] = value.detach() if isinstance(value, Tensor) else value

    def features_of(self, view: "View") -> Any:
        """Return the features of a view; in a joint pass, the encoder runs over all views of the phase."""
        if view.name not in self._features:
            made = self._pass_with(view)
            self._features |= made.split(self._read(self, made))
        return self._features[view.name]

    def layer_of(self, view: "View", layer: str) -> Tensor:
        """Return the output of a layer of the encoder for the rows of a view."""
        if layer not in self._layers:
            raise ValueError(f"layer `{layer}` was not declared: name it in the term, `Term(..., layers=[{layer!r}])`.")
        made = self._pass_with(view)
        if layer not in made.layers:
            raise ValueError(
                f"layer `{layer}` is no layer of the encoder of stream `{view.stream}`: ask a stream of the encoder "
                "with this layer."
            )
        return made.split(made.layers[layer])[view.name]

    def _pass_with(self, view: "View") -> Pass:
        if view.name not in self._pass_of:
            views = self._views_like(view) if self._joint else [view]
            names = tuple([v.name for v in views])
            made = self._kept.get(names)
            layers = self._layers and self._layers_of(self.encoder_of(view.stream))
            if made is None or not made.serves(layers, with_graph=self._encoder_learns):
                made = self._run(views, names)
            if not self._encoder_learns:
                self._kept[names] = made
                made = made.detached()
            self.passes.append(made)
            self._pass_of |= dict.fromkeys(names, made)
        return self._pass_of[view.name]

    def _run(self, views: list["View"], names: tuple[str, ...]) -> Pass:
        """Run the encoder, and keep the outputs of the asked layers."""
        rows, inputs = [len(v.index) for v in views], concatenate([v.inputs for v in views])
        encoder = self._encoder if isinstance(self._encoder, nn.Module) else self._encoder[views[0].stream]
        if encoder in self._announced:
            parts = [(v.stream, len(v.index)) for v in views]
            encoder.announce_rows(parts)  # type: ignore[operator]  # it offers that
        graph = (self._encoder_learns or self._keep_graph) and torch.is_grad_enabled()
        with torch.set_grad_enabled(graph):
            layers = self._layers_of(encoder)
            if not layers:
                return Pass(names, rows, self._encoded(encoder, inputs, names), {})
            known = encoder.layers if offers(encoder, Encoder) else {}
            with layer_outputs(known, layers) as outputs:
                features = self._encoded(encoder, inputs, names)
        return Pass(names, rows, features, {n: at_least_float32(outputs.get(n)) for n in layers})

    def _encoded(self, encoder: nn.Module, inputs: Any, names: Sequence[str]) -> Any:
        try:
            return self.call(encoder, inputs)
        except RuntimeError as error:
            found = explained(error, encoder, inputs, names)
            if found is error:
                raise
            raise found from error

    def _layers_of(self, encoder: nn.Module) -> Sequence[str]:
        """Return the declared layers; where there are several encoders, the declared layers of this encoder."""
        if not self._layers or isinstance(self._encoder, nn.Module):
            return self._layers
        return [name for name in self._layers if offers(encoder, Encoder) and name in encoder.layers]

    def _views_like(self, view: "View") -> list["View"]:
        """Return all asked views of the same encoder, with inputs of the same structure and shape: a joint pass."""
        first = [self[name] for name in (self._asked or self._batches)]
        asked = first + [other for v in first for other in v.others]
        if view not in asked:
            raise ValueError(
                f"the features of stream `{view.stream}` were asked for, and the terms of this phase declare "
                f"{tuple(self._asked or ())}: add it to a term's `streams`, or leave `streams` out for all."
            )
        if len(asked) == 1:
            return asked
        if not isinstance(self._encoder, nn.Module):
            encoder = self._encoder[view.stream]
            asked = [v for v in asked if self._encoder[v.stream] is encoder]
        kind = structure(view.inputs)
        return [v for v in asked if structure(v.inputs) == kind]


class View:
    """The rows of a stream in a step, or a further view of the rows.

    A view has `inputs`, `labels`, `index`, `mask`, `features`, `views` and `episodes`.
    """

    def __init__(self, step: Step, name: str, batch: Batch, stream: str | None = None):
        self.name, self.stream, self.inputs, self.index = name, stream or name, batch.inputs, batch.index
        # weak: a cycle would keep the graph of every step alive until the garbage collector comes
        self._step, self._batch = weakref.ref(step), batch
        self._others: list[View] | None = None if batch.more else []

    @property
    def labels(self) -> Any:
        """The labels, a tensor or a tree of tensors, or a list with one entry per row."""
        if self._batch.labels is None:
            raise ValueError(
                f"stream `{self.name}` carries no labels: it was made with `labels=False`. A term on it must do "
                "without."
            )
        return self._batch.labels

    @property
    def features(self) -> Any:
        """``(n, d)``, at least float32, or a pyramid of maps by name; the encoder runs when a term asks for features
        first.
        """
        return self._live_step().features_of(self)

    def layer(self, name: str) -> Tensor:
        """Return ``(n, ...)``, at least float32: the output of a layer of the encoder for these rows in the same pass.

        A term declares the layers that it asks for: ``Term(..., layers=[name])``.
        """
        return self._live_step().layer_of(self, name)

    def _live_step(self) -> Step:
        step = self._step()
        if step is None:
            raise RuntimeError(
                f"stream `{self.name}` was kept beyond its step: keep its features or its index instead."
            )
        return step

    def episodes(self, values: Any = None) -> list[Episode]:
        """Return the few-shot tasks of this rank in a stream with ``sampling=episodes(...)``.

        Args:
            values: one entry per row of this view, such as the output of a head: a tensor or a tree of tensors. None
                takes the features.

        Raises:
            ValueError: a stream with another sampling.
        """
        if self._batch.episodes is None:
            raise ValueError(
                f"stream `{self.stream}` draws no episodes: make the stream with `sampling=episodes(ways=5, shots=1, "
                "queries=15)`."
            )
        return self._batch.episodes.split(self.features if values is None else values, self.index.device)

    @property
    def mask(self) -> Tensor | None:
        """``(n, length)`` of booleans: True where the input has an entry, False where `collate` padded; None without
        padding.
        """
        inputs = self.inputs if isinstance(self.inputs, Mapping) else {}
        return next((inputs[name].bool() for name in MASKS if name in inputs), None)

    @property
    def views(self) -> "Views":
        """All views of the same rows. The first is this view."""
        return Views([self, *self.others])

    @property
    def others(self) -> list["View"]:
        """The views behind the first."""
        if self._others is None:
            self._others = [
                View(self._live_step(), f"{self.name}.views[{i}]", replace(self._batch, inputs=x, more=()), self.name)
                for i, x in enumerate(self._batch.more, 1)
            ]
        return self._others


class Views(tuple[View, ...]):
    """The views of a stream; the error for a missing view names the remedy."""

    def __getitem__(self, number: Any) -> Any:
        try:
            return super().__getitem__(number)
        except IndexError:
            raise IndexError(
                f"`views[{number}]` was asked for, and stream `{next(iter(self)).stream}` has {len(self)} views of "
                "each row: give the stream more, `Stream(..., views=[augment, other])`."
            ) from None


def unknown_stream(name: str, known: Mapping[str, Any]) -> KeyError:
    return KeyError(f"unknown stream `{name}`: this trainer has {', '.join(f'`{n}`' for n in known)}.")


def _announced(encoder: nn.Module | Mapping[str, nn.Module]) -> list[Any]:
    every = [encoder] if isinstance(encoder, nn.Module) else encoder.values()
    return [e for e in every if offers(e, TellsStreamsApart)]


def at_least_float32(value: Any) -> Any:
    """Return half precision as float32, inside of trees too, and everything else unchanged."""
    if not isinstance(value, Tensor):
        return map_tensors(value, at_least_float32)
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
