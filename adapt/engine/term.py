"""Terms of the objective, and phases of terms."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from adapt.engine.description import describe, plain
from adapt.engine.schedule import WEIGHT, Schedule, at
from adapt.engine.step import Step, unknown_stream
from adapt.protocols import Head, Source, offers
from losses.options import AT_LEAST_0, COUNT, check


class Outcome(NamedTuple):
    """The loss, and whether no row had a label: a loss may return both in place of a scalar.

    Args:
        loss: a scalar.
        absent: a scalar of booleans, the same on every rank: True where no row of any rank had a label. The term then
            adds nothing, a balance leaves the task out, and TensorBoard shows no value.
    """

    loss: Tensor
    absent: Tensor | None = None


class ChecksStreams(Protocol):
    """A loss that checks the streams before the first step."""

    def check(self, streams: Mapping[str, Source]) -> None: ...


class Term:
    """A summand of the objective: `weight` times `loss`.

    Args:
        name: unique in a trainer; the tag in TensorBoard and in error messages.
        loss: any callable from a :class:`Step` to a scalar tensor, or to an :class:`Outcome`. The parameters of a
            module are trained and saved.
        weight: a number, or a function of the progress in [0, 1]. Adding a term never rescales another.
        streams: names of the streams with features for the term; ``None`` means all. The encoder runs once over all
            streams of the terms of a phase.
        modules: heads inside of a plain function; the trainer trains and saves the modules.
        task: whether the `balance` of a trainer weighs the term at the encoder.
        layers: names of the layers of the encoder with outputs for the term, read by ``step["source"].layer(name)``.
        supervises: names of the streams with their supervised loss inside of the term: minimised alone, the term
            teaches the head the labels of these streams, and ``adapt.supervised`` beside the term would count the loss
            twice. A term may read labels and supervise nothing: the class-conditional alignment of DSAN, the penalty of
            IRM.

    Raises:
        TypeError: a loss without a call.
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
        check(WEIGHT, weight=weight)
        self.name, self.loss, self.weight, self.task = name, loss, weight, task
        self.streams = None if streams is None else tuple(streams)
        self.layers, self.supervises = tuple(layers), tuple(supervises)
        self.modules = [*modules, *([loss] if isinstance(loss, nn.Module) else [])]

    def __repr__(self) -> str:
        streams = ", ".join(self.streams) if self.streams is not None else "all"
        return f"Term({self.name!r}, {describe(self.loss)}, weight={describe(self.weight)}, streams={streams})"

    def __call__(self, step: Step) -> Tensor:
        return self.outcome(step).loss

    def outcome(self, step: Step) -> Outcome:
        """Return the loss on `step`, and whether the term was absent."""
        found = self.loss(step)
        loss, absent = found if isinstance(found, Outcome) else (found, None)
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            shown = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"term `{self.name}` must return a scalar tensor, got {shown}; reduce it, say by a mean.")
        return Outcome(loss, absent)


class Phase:
    """Terms with a common optimizer, minimised together.

    Args:
        terms: the objective is their weighted sum.
        update: the learning modules of the phase; ``None`` means the encoder and all modules of all terms. Without the
            encoder in `update`, features come without gradient, and a single pass serves all phases and repeats on the
            same streams until the encoder is updated: dropout is drawn, and BatchNorm statistics move, once per pass.
        repeat: updates per batch.
        optimizer: from parameter groups to an optimizer; ``None`` takes the optimizer of the trainer.
        name: in TensorBoard.
    """

    def __init__(
        self,
        terms: Term | Sequence[Term | Sequence[Term]],
        update: Sequence[nn.Module] | None = None,
        *,
        repeat: int = 1,
        optimizer: Callable[[list[dict]], torch.optim.Optimizer] | None = None,
        name: str = "main",
    ):
        self.terms, self.update, self.repeat = flatten([terms] if isinstance(terms, Term) else terms), update, repeat
        self.optimizer, self.name = optimizer, name
        if not self.terms:
            raise ValueError(f"phase `{name}` has no terms: give it at least one.")
        check(COUNT, repeat=repeat)
        asked = [names for names in (term.streams for term in self.terms) if names is not None]
        everything = len(asked) < len(self.terms)
        self.streams = None if everything else tuple(dict.fromkeys(name for names in asked for name in names))
        self.layers = tuple(dict.fromkeys(name for term in self.terms for name in term.layers))


def flatten(terms: Iterable) -> list[Term]:
    """Return a flat list of terms: a method may return a term or several terms."""
    flat: list[Term] = []
    if not isinstance(terms, list | tuple | Iterator):
        raise TypeError(f"`terms` must be terms in a list, got a {type(terms).__name__}: {_remedy(terms)}.")
    for term in terms:
        flat += [term] if isinstance(term, Term) else flatten(term)
    return flat


def _remedy(found: Any) -> str:
    if isinstance(found, Phase):
        return "give `phases=[...]`"
    if isinstance(found, Mapping):
        return "give `list(terms.values())`, each term has a name of its own"
    if offers(found, Head):
        return 'give `[adapt.supervised(head, on="source")]`'
    return 'give `[Term("name", function)]`' if callable(found) else "give `[term, ...]`"


def check_terms(phases: Sequence[Phase], streams: Mapping[str, Source]) -> list[Term]:
    """Return all terms, once each, after a look at names, streams and labels.

    Raises:
        ValueError: names not unique or not fit for a module; labels of a wrong kind for a term.
        KeyError: an unknown stream.
    """
    if not streams:
        raise ValueError("`streams` is empty: name at least one, `streams={'source': Stream(...)}`.")
    if len({phase.name for phase in phases}) < len(phases):
        raise ValueError(f"phases need names of their own for their curves, got {[phase.name for phase in phases]}.")
    terms = list(dict.fromkeys(term for phase in phases for term in phase.terms))
    check_names([term.name for term in terms])
    for term in terms:
        first = plain(at(term.weight, 0.0))
        if not isinstance(first, Tensor):
            check(AT_LEAST_0, f"so much does term `{term.name}` return at progress 0", weight=first)
        if unknown := set(term.streams or ()).difference(streams):
            raise unknown_stream(min(unknown), streams)
        if offers(term.loss, ChecksStreams):
            term.loss.check(streams)
    return terms


def check_names(names: Sequence[str]) -> None:
    """Raise unless the names of the terms are unique and can name submodules of the model."""
    taken = {"", *dir(nn.ModuleDict)}
    for name in names:
        if names.count(name) > 1 or "." in name or name in taken:
            raise ValueError(
                f"`{name}` cannot name a term: names are unique, not empty, without dots, and no torch method. Methods "
                "take "
                "`name=...`."
            )
