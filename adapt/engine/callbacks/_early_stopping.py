"""The end of a run that improves no longer."""

from typing import TYPE_CHECKING, Any

from adapt.engine.callbacks.follow import Follow, Validator, improves
from adapt.engine.callbacks.logged import Logged
from losses.options import AT_LEAST_0, COUNT, check

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


class EarlyStopping:
    """Stops a run whose value has not improved in `patience` readings in a row.

    Args:
        follow: name of a labelled set in `watch`, say ``"source"``; a tag of the log, say ``"loss/total"``; or a
            function of the trainer to a number or a score, called whenever watched sets are scored: a validator without
            target labels, from :mod:`adapt.select`. A watched set with labels of a target is an oracle choice: the
            trainer warns, and the settings of the run say so.
        patience: number of readings; 5.
        margin: an improvement must be larger; 0.
        better: ``"higher"`` or ``"lower"``; needed for tags and for functions that return plain numbers.

    The state is in the checkpoint: a resumed run stops at the step at which the uninterrupted run stops. The weights
    stay those of the last step; for the best weights add :class:`KeepBest`.

    Several ranks: all ranks read the number of rank 0 and stop at the same step.

    Raises:
        ValueError: an option that is not allowed; when the trainer is made, a name that `watch` does not have.

    Prechelt, Early Stopping - But When?, 1998, https://doi.org/10.1007/3-540-49430-8_3
    """

    def __init__(self, follow: str | Validator, *, patience: int = 5, margin: float = 0.0, better: str | None = None):
        check(COUNT, patience=patience)
        check(AT_LEAST_0, margin=margin)
        self.follow, self.patience, self.margin = Follow(follow, better), patience, float(margin)
        self.best: float | None = None
        self.best_step, self.waited = 0, 0
        self._oracle = False

    def __repr__(self) -> str:
        oracle = ", by labels of the target: an oracle choice" if self._oracle else ""
        return f"EarlyStopping({self.follow!r}, patience={self.patience}, margin={self.margin}{oracle})"

    def check(self, trainer: "Trainer") -> None:
        self.follow.check(trainer, "`EarlyStopping`")
        self._oracle = self.follow.is_oracle(trainer)

    def __call__(self, logged: Logged) -> None:
        found = self.follow.read(logged)
        if found is None:
            return
        value, higher = found
        if improves(value, self.best, higher=higher, margin=self.margin):
            self.best, self.best_step, self.waited = value, logged.step, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            best = "no value is a number" if self.best is None else f"best {self.best:.4g} at step {self.best_step}"
            logged.trainer.stop(f"{self.follow!r} has not improved in {self.waited} readings; {best}")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_step, self.waited = state["best"], state["best_step"], state["waited"]
