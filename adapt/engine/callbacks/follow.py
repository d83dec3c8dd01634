"""The value that a callback follows."""

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from adapt.engine.callbacks.logged import Logged
from adapt.engine.description import describe
from adapt.heads import Score
from adapt.protocols import Source
from adapt.streams import Stream

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

Validator = Callable[["Trainer"], float | Score]


class Follow:
    """A watched set, a logged scalar, or a function of the trainer, and which direction is better.

    Args:
        of: name of a labelled set in `watch`; tag of a scalar, with a slash; or a function of the trainer, called when
            watched sets are scored.
        better: ``"higher"`` or ``"lower"``; None where a :class:`adapt.heads.Score` says so.

    Raises:
        ValueError: a tag without `better`, or another word.
    """

    def __init__(self, of: str | Validator, better: str | None):
        if better not in (None, "higher", "lower"):
            raise ValueError(f"`better` must be 'higher' or 'lower', got {better!r}.")
        if isinstance(of, str) and "/" in of and better is None:
            raise ValueError(
                f'`better` must say whether a higher or a lower `{of}` is better: `better="higher"` or "lower".'
            )
        self.of, self.better = of, better

    def __repr__(self) -> str:
        return repr(self.of) if isinstance(self.of, str) else describe(self.of)

    @property
    def name(self) -> str:
        """A name for a folder."""
        return re.sub(r"[^\w.-]", "-", self.of if isinstance(self.of, str) else describe(self.of))

    def check(self, trainer: "Trainer", who: str) -> None:
        """Raise on a name that is no labelled watched set; warn where the choice sees labels of a target."""
        labelled = [name for name in trainer.watch if name not in trainer.unlabelled]
        if isinstance(self.of, str) and "/" not in self.of and self.of not in labelled:
            raise ValueError(
                f"{who} follows {self.of!r}, and the labelled sets in `watch` are {labelled}: name one of the sets, a "
                'tag of the log such as "loss/total", or give a function of the trainer.'
            )
        if self.is_oracle(trainer):
            warnings.warn(
                f"{who} chooses by the labels of {self.of!r}, a stream that trains without labels: an oracle choice, "
                "which no user without these labels can make. The settings of the run say so.",
                stacklevel=5,
            )

    def is_oracle(self, trainer: "Trainer") -> bool:
        """Whether the value needs labels of a stream that trains without labels."""
        stream = self._stream(trainer)
        return isinstance(stream, Stream) and not stream.labels

    def is_unknown(self, trainer: "Trainer") -> bool:
        """Whether nobody can tell: the value comes from a function, or from a watched set of no stream of the run."""
        return not isinstance(self.of, str) or (self._set(trainer) is not None and self._stream(trainer) is None)

    def _set(self, trainer: "Trainer") -> str | None:
        """Return the labelled watched set behind the value: ``"target"`` for ``"accuracy/target"`` too."""
        name = self.of.rpartition("/")[2] if isinstance(self.of, str) else None
        return name if name in trainer.watch and name not in trainer.unlabelled else None

    def _stream(self, trainer: "Trainer") -> Source | None:
        name = self._set(trainer)
        if name is None:
            return None
        entry = trainer.watch[name]
        return trainer.streams.get(entry[2] if len(entry) == 3 else name)

    def read(self, logged: Logged) -> tuple[float, bool] | None:
        """Return the value, and whether higher is better; None where `logged` does not hold the value."""
        if isinstance(self.of, str):
            found: float | Score | None = (logged.scores or {}).get(self.of, logged.values.get(self.of))
        else:
            found = None if logged.scores is None else self.of(logged.trainer)
        if isinstance(found, Score):
            return found.value, found.higher_is_better if self.better is None else self.better == "higher"
        if found is None:
            return None
        if self.better is None:
            raise ValueError(f"`better` must say whether a higher or a lower value of {self!r} is better.")
        return float(found), self.better == "higher"


def improves(value: float, best: float | None, *, higher: bool, margin: float = 0.0) -> bool:
    """Whether `value` is better than `best` by more than `margin`; a value that is not a number improves nothing."""
    if best is None:
        return value == value
    return value > best + margin if higher else value < best - margin
