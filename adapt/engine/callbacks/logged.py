"""The values that a trainer gives to a callback, and the methods that a callback may offer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from adapt.heads import Score

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


@dataclass(frozen=True)
class Logged:
    """Values that a trainer has just logged.

    Args:
        trainer: of the run. A callback prints and writes where ``trainer.rank`` is 0.
        step: number of steps done before the values were computed; the step of the log.
        values: numbers by the tags of the log, without NaN.
        scores: scores of the labelled watched sets by name, before the step; None where the values are the scalars of a
            step.
    """

    trainer: "Trainer"
    step: int
    values: Mapping[str, float]
    scores: Mapping[str, Score] | None = None


Callback = Callable[[Logged], Any]


class HasState(Protocol):
    """A callback with a state in the checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class ChecksTrainer(Protocol):
    """A callback with a look at the trainer before the first step."""

    def check(self, trainer: "Trainer") -> None: ...


class Closes(Protocol):
    """A callback with files or connections, released at the end of a fit."""

    def close(self) -> None: ...


class Chooses(Protocol):
    """A callback that decides by a value: the settings of the run name the callback.

    Attributes:
        follow: the value behind the decision.
    """

    follow: Any
