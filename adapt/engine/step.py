"""What a term sees of one training step. Everything is computed when it is asked for, and once."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from adapt.randomness import keyed_seed
from adapt.streams import Batch

# what the encoder and its asked layers returned, by the ids of its inputs: the batches outlive it
Passes = dict[tuple[int, ...], tuple[Tensor, dict[str, Any]]]


class Step:
    """The batches of one step, and what the encoder and the heads make of them.

    ``step["source"]`` is a :class:`View`; ``step.output(head, "source")`` a head's output on its features;
    ``step.progress`` the share of the run that lies behind, in [0, 1]; ``step.generator`` a CPU generator that depends
    on the seed and the step alone and is the same on every rank.
    """

    def __init__(
        self,
        batches: Mapping[str, Batch],
        encoder: nn.Module,
        *,
        number: int = 0,
        progress: float = 0.0,
        seed: int = 0,
        streams: Sequence[str] | None = None,
        layers: Sequence[str] = (),
        passes: str = "joint",
        encoder_learns: bool = True,
        kept: Passes | None = None,
        keep_graph: bool = False,
        logging: bool = False,
        known: Callable[[nn.Module], bool] | None = None,
        autocast: torch.autocast | None = None,
    ):
        self.encoder, self.number, self.progress, self.logging = encoder, number, progress, logging
        self.reports: dict[str, Tensor | float] = {}
        self.absent: dict[int, Tensor] = {}  # by the id of a loss: whether none of its rows, on any rank, has a label
        self.shared: list[Tensor] = []  # what the encoder returned, before it is split by stream
        # for each of these a leaf ``(tasks, *its shape)`` with its values: a row is what a task reads
        self.apart: list[Tensor] = []
        self._rows: list[Sequence[Tensor]] = []  # of each leaf
        self._passed: list[list[View]] = []  # the views that each of them is split into
        self._task: int | None = None  # who reads
        self._tasks = 0  # of how many
        self._seed, self._encoder_learns, self._known, self._autocast = seed, encoder_learns, known, autocast
        # passes of the encoder as it is now, from phases it does not learn in; with their graph for a later one it does
        self._kept, self._keep_graph = {} if kept is None else kept, keep_graph
        self._batches, self._asked, self._joint, self._layers = batches, streams, passes == "joint", layers
        self._views = {name: View(self, name, batch) for name, batch in batches.items()}
        self._outputs: dict[tuple[int, str], Tensor] = {}
        self._generator: torch.Generator | None = None

    def __getitem__(self, stream: str) -> "View":
        try:
            return self._views[stream]
        except KeyError:
            raise unknown_stream(stream, self._views) from None

    @property
    def generator(self) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(keyed_seed(self._seed, "step", self.number))
        return self._generator

    def read_apart(self, task: int | None, tasks: int) -> None:
        """From here on features are what task number `task` of `tasks` reads, so that the gradient there is that of it alone.

        With None they are again what the encoder returned. The encoder is not run again; heads are.
        """
        self._outputs, self._task, self._tasks = {}, task, tasks
        for number in range(len(self.shared)):
            self._show(number)

    def _read(self, number: int) -> Tensor:
        """The features of a pass: what the encoder returned, or the row of a leaf."""
        if self._task is None:
            return self.shared[number]
        if number == len(self.apart):
            features = self.shared[number]
            leaf = features.detach().expand(self._tasks, *features.shape).requires_grad_(features.requires_grad)
            self.apart.append(leaf)
            self._rows.append(leaf.unbind())  # its backward lays the gradients of all tasks behind each other
        return self._rows[number][self._task]

    def _show(self, number: int) -> None:
        """Give the views of a pass their rows."""
        views, features = self._passed[number], self._read(number)
        parts = features.split([len(v.index) for v in views]) if len(views) > 1 else [features]
        for v, part in zip(views, parts, strict=True):
            v.cached = part

    def call(self, module: nn.Module, *inputs: Any) -> Tensor:
        """`module` on `inputs` under the run's precision; what comes back is at least float32."""
        if self._known is not None and not self._known(module):
            raise ValueError(
                f"a {type(module).__name__} was called in a step and no term owns it, so it would not be trained or "
                "saved: pass it to its term, `Term(..., modules=[head])`."
            )
        if self._autocast is None:
            return _full(module(*inputs))
        with self._autocast:
            return _full(module(*inputs))

    def output(self, head: nn.Module, stream: str) -> Tensor:
        """The output of `head` on the features of `stream`; computed once a step."""
        at = (id(head), stream)
        if at not in self._outputs:
            self._outputs[at] = self.call(head, self[stream].features)
        return self._outputs[at]

    def features(self, *streams: str) -> Tensor:
        """The features of several streams behind each other: without a copy where the encoder returned just these."""
        parts = [self[name].features for name in streams]
        whole = tuple(v.name for v in self._passed[-1]) == streams
        return self._read(len(self.shared) - 1) if whole else torch.cat(parts)

    def report(self, name: str, value: Tensor | float) -> None:
        """Show a scalar in TensorBoard. Ask `step.logging` before computing one: it is read only on logging steps."""
        self.reports[name] = value.detach() if isinstance(value, Tensor) else value

    def encode(self, view: "View") -> None:
        """Fill the features of `view`, and in a joint pass those of all views that the phase asks for."""
        views = self._asked_views() if self._joint else [view]
        if view not in views:
            raise ValueError(
                f"the features of stream `{view.name}` were asked for, and the terms of this phase declare "
                f"{tuple(self._asked or ())}: add it to a term's `streams`, or leave `streams` out for all."
            )
        rows, inputs = [len(v.index) for v in views], tuple(id(v.inputs) for v in views)
        features, outputs = self._kept.get(inputs, (None, {}))
        stale = self._encoder_learns and features is not None and not features.requires_grad
        if features is None or stale or not outputs.keys() >= set(self._layers):
            features, outputs = self._pass(views)
        if not isinstance(features, Tensor) or features.ndim < 2 or features.shape[0] != sum(rows):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"the encoder must return features ({sum(rows)}, ...) for {sum(rows)} rows, got {found}.")
        if not self._encoder_learns:
            self._kept[inputs] = features, outputs
            features = features.detach()
        self.shared.append(features)
        self._passed.append(views)
        self._show(len(self.shared) - 1)
        for name in self._layers:
            for v, part in zip(views, _rows_of(outputs, name, rows), strict=True):
                v.layers[name] = part if self._encoder_learns else part.detach()

    def _pass(self, views: list["View"]) -> tuple[Tensor, dict[str, Any]]:
        """Features, and what the asked layers of the encoder return on the way."""
        inputs = join([v.inputs for v in views], [v.name for v in views])
        if hasattr(self.encoder, "announce_rows"):  # an encoder that treats streams differently
            self.encoder.announce_rows([(v.name, len(v.index)) for v in views])  # type: ignore[operator]
        outputs: dict[str, Any] = {}
        hooks = [
            _layer(self.encoder, name).register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
            for name in self._layers
        ]
        try:
            with torch.set_grad_enabled((self._encoder_learns or self._keep_graph) and torch.is_grad_enabled()):
                return self.call(self.encoder, inputs), outputs
        finally:
            for hook in hooks:
                hook.remove()

    def _asked_views(self) -> list["View"]:
        views = [self[name] for name in (self._asked or self._batches)]
        return views + [v.second for v in views if v.has_second]


class View:
    """One stream's rows in a step: `inputs`, `labels`, `index`, `features`, and `second` where the stream has it."""

    def __init__(self, step: Step, name: str, batch: Batch):
        self.name, self.inputs, self.index = name, batch.inputs, batch.index
        self.cached: Tensor | None = None
        self.layers: dict[str, Tensor] = {}
        # weak: a cycle would keep every step's graph alive until the garbage collector comes
        self._step, self._batch = weakref.ref(step), batch
        self._second: View | None = None

    @property
    def labels(self) -> Tensor:
        if self._batch.labels is None:
            raise ValueError(
                f"stream `{self.name}` carries no labels: it was made with `labels=False`. A term on it must do without."
            )
        return self._batch.labels

    @property
    def features(self) -> Tensor:
        """``(n, d)``, at least float32; the encoder runs when they are first asked for."""
        if self.cached is None:
            self._live_step().encode(self)
        assert self.cached is not None
        return self.cached

    def layer(self, name: str) -> Tensor:
        """``(n, ...)``, at least float32: what a layer of the encoder returned for these rows in the same pass.

        A term declares the layers it asks for: ``Term(..., layers=[name])``.
        """
        if name not in self._live_step()._layers:
            raise ValueError(f"layer `{name}` was not declared: name it in the term, `Term(..., layers=[{name!r}])`.")
        self.features  # noqa: B018  the pass fills the layers
        return self.layers[name]

    def _live_step(self) -> Step:
        step = self._step()
        if step is None:
            raise RuntimeError(
                f"stream `{self.name}` was kept beyond its step: keep its features or its index instead."
            )
        return step

    @property
    def has_second(self) -> bool:
        return self._batch.second is not None

    @property
    def second(self) -> "View":
        """The other view of the same rows."""
        if self._batch.second is None:
            raise ValueError(f"stream `{self.name}` has one view: give it `Stream(..., second=transform)`.")
        if self._second is None:
            self._second = View(
                self._live_step(), f"{self.name}.second", replace(self._batch, inputs=self._batch.second, second=None)
            )
        return self._second


def _layer(encoder: nn.Module, name: str) -> nn.Module:
    known = getattr(encoder, "layers", {})
    if name not in known:
        raise ValueError(f"a term asks for layer `{name}`, and the encoder has {list(known) or 'no named layers'}.")
    return known[name]


def _rows_of(outputs: Mapping[str, Any], name: str, rows: Sequence[int]) -> Sequence[Tensor]:
    """A layer's output split by stream."""
    out = outputs.get(name)
    if not isinstance(out, Tensor) or out.shape[0] != sum(rows):
        found = "nothing" if out is None else tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"layer `{name}` must return a tensor with one row for each of {sum(rows)} inputs, got {found}."
        )
    return _full(out).split(list(rows))


def unknown_stream(name: str, known: Mapping[str, Any]) -> KeyError:
    return KeyError(f"unknown stream `{name}`: this trainer has {', '.join(f'`{n}`' for n in known)}.")


def join(inputs: Sequence[Any], names: Sequence[str]) -> Any:
    """The rows of several streams behind each other: tensors, or dicts and tuples of tensors."""
    first = inputs[0]
    if len(inputs) == 1:
        return first
    if isinstance(first, Mapping):
        return {k: join([i[k] for i in inputs], names) for k in first}
    if isinstance(first, tuple | list):
        return tuple(join(part, names) for part in zip(*inputs, strict=True))
    if any(i.shape[1:] != first.shape[1:] for i in inputs):
        shapes = ", ".join(f"`{n}` {tuple(i.shape[1:])}" for n, i in zip(names, inputs, strict=True))
        raise ValueError(
            f"streams that share one encoder pass must have inputs of one shape, got {shapes}: resize them, "
            'or ask for `passes="separate"`.'
        )
    return torch.cat(list(inputs))


def _full(x: Any) -> Any:
    """Half precision to float32; everything else as it is."""
    return x.float() if isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16) else x
