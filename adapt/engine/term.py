"""What is minimised: terms, and phases of terms."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from adapt.engine.description import describe
from adapt.engine.schedule import Schedule, at
from adapt.engine.step import Step, unknown_stream
from adapt.streams import Stream


class Term:
    """One summand of the objective: `weight` times `loss`.

    Args:
        name: unique in a trainer; its tag in TensorBoard and in error messages.
        loss: any callable from a :class:`Step` to a scalar tensor. A module's parameters are trained and saved.
        weight: a number, or a function of the progress in [0, 1]. Adding a term never rescales another.
        streams: names of the streams whose features it asks for; ``None`` means all. The encoder runs once over what
            the terms of a phase ask for.
        modules: heads that a plain function uses; they are trained and saved.
        task: one of several that a trainer's `balance` weighs at the encoder.
        layers: names of the encoder's layers whose outputs it asks for, with ``step["source"].layer(name)``.
        supervises: names of the streams whose labels the term learns from, as ``adapt.supervised`` does. A method that holds
            the supervised loss itself needs no supervised term beside it on these streams.

    Raises:
        TypeError: a loss that cannot be called.
    """

    def __init__(
        self,
        name: str,
        loss: Callable[[Step], Tensor],
        weight: float | Schedule = 1.0,
        *,
        streams: Sequence[str] | None = None,
        modules: Iterable[nn.Module] = (),
        task: bool = False,
        layers: Sequence[str] = (),
        supervises: Sequence[str] = (),
    ):
        if not callable(loss):
            raise TypeError(f"`loss` of term `{name}` must be callable with a step, got {type(loss).__name__}.")
        self.name, self.loss, self.weight, self.task = name, loss, weight, task
        self.streams = None if streams is None else tuple(streams)
        self.layers, self.supervises = tuple(layers), tuple(supervises)
        self.modules = [*modules, *([loss] if isinstance(loss, nn.Module) else [])]

    def __repr__(self) -> str:
        streams = ", ".join(self.streams) if self.streams is not None else "all"
        return f"Term({self.name!r}, {describe(self.loss)}, weight={describe(self.weight)}, streams={streams})"

    def __call__(self, step: Step) -> Tensor:
        value = self.loss(step)
        if not isinstance(value, Tensor) or value.ndim != 0:
            found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"term `{self.name}` must return a scalar tensor, got {found}; reduce it, say by a mean.")
        return value

    def weight_at(self, progress: float) -> float:
        return at(self.weight, progress)


class Phase:
    """Terms that are minimised together by one optimizer.

    Args:
        terms: its objective.
        update: the modules that learn in it; ``None`` means the encoder and all modules of all terms. Where the encoder
            is not among them, features come without gradient, and one pass serves all phases and repeats on the same
            streams until the encoder is updated: its dropout is drawn, and its BatchNorm statistics move, once a pass.
        repeat: updates a batch.
        optimizer: from parameter groups to an optimizer; ``None`` takes the trainer's.
        name: in TensorBoard.
    """

    def __init__(
        self,
        terms: Sequence[Term | Sequence[Term]],
        update: Sequence[nn.Module] | None = None,
        *,
        repeat: int = 1,
        optimizer: Callable[[list[dict]], torch.optim.Optimizer] | None = None,
        name: str = "main",
    ):
        self.terms, self.update, self.repeat, self.optimizer, self.name = (
            flatten(terms),
            update,
            repeat,
            optimizer,
            name,
        )
        if not self.terms:
            raise ValueError(f"phase `{name}` has no terms: give it at least one.")
        if repeat < 1:
            raise ValueError(f"`repeat` of phase `{name}` must be at least 1, got {repeat}.")
        asked = [names for names in (term.streams for term in self.terms) if names is not None]
        everything = len(asked) < len(self.terms)
        self.streams = None if everything else tuple(dict.fromkeys(name for names in asked for name in names))
        self.layers = tuple(dict.fromkeys(name for term in self.terms for name in term.layers))


def weighted_sum(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The objective. A weight of one multiplies nothing: a product costs 10 microseconds, forward and backward."""
    parts = [value if weight == 1.0 else weight * value for value, weight in zip(values, weights, strict=True)]
    return sum(parts[1:], start=parts[0])


def flatten(terms: Iterable) -> list[Term]:
    """A flat list of terms: a method may return one term or several."""
    flat: list[Term] = []
    for term in terms:
        flat += [term] if isinstance(term, Term) else flatten(term)
    return flat


def check_terms(phases: Sequence[Phase], streams: Mapping[str, Stream]) -> list[Term]:
    """All terms, once each, after looking at names, streams and labels."""
    if not streams:
        raise ValueError("`streams` is empty: name at least one, `streams={'source': Stream(...)}`.")
    if len({phase.name for phase in phases}) < len(phases):
        raise ValueError(f"phases need names of their own for their curves, got {[phase.name for phase in phases]}.")
    terms = list(dict.fromkeys(term for phase in phases for term in phase.terms))
    names = [term.name for term in terms]
    for term in terms:
        if names.count(term.name) > 1 or "." in term.name or not term.name or hasattr(nn.ModuleDict, term.name):
            raise ValueError(
                f"`{term.name}` cannot name a term: names are unique, not empty, without dots, and no torch method."
            )
        for stream in term.streams or ():
            if stream not in streams:
                raise unknown_stream(stream, streams)
        check = getattr(term.loss, "check", None)
        if check is not None:
            check(streams)
    return terms
