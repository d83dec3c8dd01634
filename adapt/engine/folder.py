"""The log folder of a run: new, gone on with, or refused."""

import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from adapt.engine import checkpoint, runtime, state
from adapt.engine.plan import Plan

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

EXIST = ("resume", "new", "error")


def take(trainer: "Trainer", plan: Plan) -> None:
    """Make the log folder the folder of this run, as ``trainer.exist`` says. Every rank looks before any rank writes.

    Raises:
        FileExistsError: the folder is not empty under ``"error"``; or holds another run than the run that the trainer
            has resumed.
        CheckpointError: the run in the folder has another configuration or another plan.
    """
    folder = trainer.folder
    if folder is None:
        return
    if not trainer.claimed and runtime.gather_objects(folder.exists() and any(folder.iterdir()))[0]:
        if trainer.exist == "error":
            raise FileExistsError(
                f"`{folder}` is not empty: choose another folder (`log=...`), or go on with the run in the folder "
                '(`exist="resume"`), or take the next free number (`exist="new"`). Nothing was changed.'
            )
        if trainer.exist == "new":
            trainer.folder = runtime.gather_objects(_next_free(folder) if trainer.rank == 0 else folder)[0]
        else:
            _go_on(trainer, folder, plan)
    trainer.claimed = True
    if trainer.rank == 0:
        set_aside(trainer.checkpoints, trainer.step)
    runtime.wait()


def _go_on(trainer: "Trainer", folder: Path, plan: Plan) -> None:
    """Load the newest whole checkpoint; without one, start again."""
    try:
        where, weights, saved = state.found(trainer, None)
    except FileNotFoundError:
        return
    if trainer.step:
        raise FileExistsError(
            f"`{folder}` holds a run, and this trainer has done {trainer.step} steps of another run: choose another "
            'folder (`log=...`, or `exist="new"`). Nothing was changed.'
        )
    if saved["planned"] != plan.planned and (saved["asked_for"] or trainer.asked_for):
        raise checkpoint.CheckpointError(
            f"`{folder}` holds a run of {saved['planned']} planned steps, and this run has {plan.planned}; schedules "
            f"follow the plan. Give the same plan, `fit(..., planned={saved['planned']})`, another folder "
            '(`log=...`, or `exist="new"`), or say `trainer.resume()` to change the plan.'
        )
    state.load(trainer, where, weights, saved, depth=6)
    if trainer.rank == 0 and saved["process"] == state.PROCESS:
        warnings.warn(
            f"`{folder}` holds the run of an earlier trainer of this process: this trainer takes the weights of that "
            f"run and goes on at step {trainer.step}. Give every run a folder of its own where this is not meant.",
            stacklevel=5,
        )
    if trainer.rank == 0 and trainer.progress:
        print(f"`{folder}`: the run goes on at step {trainer.step} of {trainer.planned}.")


def _next_free(folder: Path) -> Path:
    """Make and return ``folder-2``, ``folder-3``, ...: the first that does not exist."""
    number = 2
    while True:
        free = folder.with_name(f"{folder.name}-{number}")
        try:
            free.mkdir(parents=True)
            return free
        except FileExistsError:
            number += 1


def set_aside(checkpoints: Path, step: int) -> None:
    """Rename the checkpoints behind `step`, torn or of a run that went on from here in another way.

    The run writes checkpoints of these names again.
    """
    for path in checkpoint.newest_first(checkpoints):
        if int(path.name.removeprefix("step-")) > step:
            path.rename(path.with_name(f"aside-{uuid.uuid4().hex[:8]}-{path.name}"))
