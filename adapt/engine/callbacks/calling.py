"""Calls of callbacks by the engine, and the states of callbacks in a checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapt.engine import runtime
from adapt.engine.callbacks.logged import Callback, ChecksTrainer, Chooses, Closes, HasState, Logged
from adapt.heads import Score
from adapt.protocols import offers

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


def check(callbacks: Sequence[Callback], trainer: "Trainer") -> None:
    """Raise unless each callback can be called and fits the trainer.

    Raises:
        TypeError: a callback without a call, or a class in place of an object.
    """
    for callback in callbacks:
        if not callable(callback) or isinstance(callback, type):
            kind = f"the class {callback.__name__}" if isinstance(callback, type) else type(callback).__name__
            raise TypeError(f"`callbacks` must be functions of one `Logged`, got {kind}: give a function or an object.")
        if offers(callback, ChecksTrainer):
            callback.check(trainer)


def settings_of(callbacks: Sequence[Callback]) -> str:
    """Return the callbacks that decide, as text for the settings: a resumed run must have the same."""
    return "; ".join(repr(callback) for callback in callbacks if offers(callback, Chooses)) or "none"


def call(trainer: "Trainer", step: int, values: Mapping[str, float], scores: Mapping[str, Score] | None) -> None:
    """Call every callback with the numbers of rank 0. On several ranks, all ranks agree on the end of the run."""
    if not trainer.callbacks:
        return
    if trainer.world > 1:
        values, scores = runtime.gather_objects((values, scores))[0]
    logged = Logged(trainer, step, values, scores)
    for callback in trainer.callbacks:
        callback(logged)
    if trainer.world > 1:
        reasons = runtime.gather_objects(trainer.stopped)
        trainer.stopped = next((reason for reason in reasons if reason is not None), None)


def close(callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        if offers(callback, Closes):
            callback.close()


def states(callbacks: Sequence[Callback]) -> dict[str, dict[str, Any]]:
    """Return the states by name of the class; a second callback of a class has the number 2 behind the name."""
    return {name: callback.state_dict() for name, callback in _named(callbacks)}


def load_states(callbacks: Sequence[Callback], saved: Mapping[str, dict[str, Any]]) -> None:
    """Put saved states back; a callback without a saved state starts anew."""
    for name, callback in _named(callbacks):
        if name in saved:
            callback.load_state_dict(saved[name])


def _named(callbacks: Sequence[Callback]) -> Iterator[tuple[str, HasState]]:
    counts: dict[str, int] = {}
    for callback in callbacks:
        if offers(callback, HasState):
            name = type(callback).__name__
            counts[name] = counts.get(name, 0) + 1
            yield name if counts[name] == 1 else f"{name} {counts[name]}", callback
