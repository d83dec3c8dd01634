"""The best weights of a run, on disk."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapt.engine import checkpoint, runtime, state
from adapt.engine.callbacks.follow import Follow, Validator, improves
from adapt.engine.callbacks.logged import Logged

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


class KeepBest:
    """Keeps a checkpoint of the step with the best value below the log folder: ``best/<name>/step-000000250``.

    Args:
        follow: as in :class:`EarlyStopping`. A watched set with labels of a target is an oracle choice: the trainer
            warns, and the settings of the run say so.
        better: ``"higher"`` or ``"lower"``; needed for tags and for functions that return plain numbers.

    Attributes:
        best: the best value; None before the first reading.
        best_step: the step with this value. The first of equal values counts.
        path: the folder of the checkpoint.

    The value is in every checkpoint: after a resume, the best weights are those of the uninterrupted run. The folder of
    an older best step stays as long as a checkpoint names it.

    Several ranks: rank 0 writes.

    Raises:
        ValueError: an option that is not allowed; when the trainer is made, a trainer without `log`, or a name that
            `watch` does not have.
    """

    def __init__(self, follow: str | Validator, *, better: str | None = None):
        self.follow = Follow(follow, better)
        self.best: float | None = None
        self.best_step = 0
        self._named: list[int] = []  # steps that the newest checkpoints name
        self._own = False  # whether the checkpoint is one of the best weights
        self._folder, self._keep, self._oracle = Path(), 1, False

    def __repr__(self) -> str:
        oracle = ", by labels of the target: an oracle choice" if self._oracle else ""
        return f"KeepBest({self.follow!r}{oracle})"

    @property
    def path(self) -> Path:
        if self.best is None:
            raise ValueError("`KeepBest` has read no value yet: train first, and watch often enough (`watch_every`).")
        return self._folder / checkpoint.name(self.best_step)

    def check(self, trainer: "Trainer") -> None:
        self.follow.check(trainer, "`KeepBest`")
        self._locate(trainer)
        self._oracle, self._keep = self.follow.is_oracle(trainer), trainer.keep

    def _locate(self, trainer: "Trainer") -> None:
        if trainer.folder is None:
            raise ValueError("`KeepBest` writes below the log folder, and this trainer has none: give it `log=...`.")
        self._folder = trainer.folder / "best" / self.follow.name

    def __call__(self, logged: Logged) -> None:
        found = self.follow.read(logged)
        if found is None or not improves(found[0], self.best, higher=found[1]):
            return
        self.best, self.best_step = found[0], logged.step
        self._locate(logged.trainer)
        if logged.trainer.rank == 0 and self.path.exists():  # of a run that was killed later than its last checkpoint
            shutil.rmtree(self.path)
        runtime.wait()
        self._own = True
        logged.trainer.save(self.path)
        self._own = False
        if logged.trainer.rank == 0:
            self._delete_unnamed()

    def _delete_unnamed(self) -> None:
        for folder in checkpoint.newest_first(self._folder):
            if folder.name not in map(checkpoint.name, [self.best_step, *self._named]):
                shutil.rmtree(folder)

    def load(self, trainer: "Trainer") -> "Trainer":
        """Put the best weights into `trainer`, for evaluation and prediction, and return the trainer.

        The number of the step and the optimizer stay: to train on from the best step take
        ``trainer.resume(best.path)``.
        """
        state.load_weights(trainer, self.path)
        return trainer

    def state_dict(self) -> dict[str, Any]:
        if self.best is not None and not self._own:
            self._named = [*self._named, self.best_step][-self._keep :]
            self._delete_unnamed()  # only rank 0 asks for the state
        return {"best": self.best, "best_step": self.best_step, "named": list(self._named)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_step, self._named = state["best"], state["best_step"], list(state["named"])
