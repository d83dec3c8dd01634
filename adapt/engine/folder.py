"""The log folder of a run: new, gone on with, or refused."""

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from adapt import store
from adapt.engine import checkpoint, runtime, state
from adapt.engine.plan import Plan

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

T = TypeVar("T")
EXIST = ("resume", "new", "error")


@contextmanager
def taken(trainer: "Trainer", plan: Plan) -> Iterator[None]:
    """Hold the log folder as the folder of this run, as ``trainer.exist`` says.

    Every rank looks before any rank writes.

    Raises:
        FileExistsError: another process trains into the folder; the folder is not empty under ``"error"``; or the
            folder holds another run than the run that the trainer has resumed.
        CheckpointError: the run in the folder has another configuration or another plan.
    """
    folder = trainer.folder
    if folder is None:
        yield
        return
    if not trainer.claimed and trainer.exist == "new" and _everywhere(folder.exists() and any(folder.iterdir())):
        trainer.folder = folder = _everywhere(_next_free(folder) if trainer.rank == 0 else folder)
        trainer.claimed = True
    with _locked(folder):
        if not trainer.claimed and _everywhere(any(path.name != store.LOCK for path in folder.iterdir())):
            if trainer.exist == "error":
                raise FileExistsError(
                    f"`{folder}` is not empty: choose another folder (`log=...`), or go on with the run in the folder "
                    '(`exist="resume"`), or take the next free number (`exist="new"`). Nothing was changed.'
                )
            _go_on(trainer, folder, plan)
        trainer.claimed = True
        if trainer.rank == 0:
            set_aside(trainer.checkpoints, trainer.step)
        runtime.wait()
        yield


def _everywhere(value: T) -> T:
    """Return the value of rank 0, on all ranks."""
    return runtime.gather_objects(value)[0]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process, on rank 0. The system lets go of the folder when the process ends.

    Raises:
        FileExistsError: on every rank, another process trains into the folder.
    """
    with store.claim(folder) if runtime.rank() == 0 else nullcontext() as holder:
        owner = _everywhere(holder)
        if owner is not None:
            raise FileExistsError(
                f"another process trains into `{folder}` ({owner}): wait for its end, or choose another folder "
                "(`log=...`). Nothing was changed."
            )
        yield


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
    state.load(trainer, where, weights, saved, depth=7)
    if trainer.rank == 0 and saved["process"] == state.PROCESS:
        warnings.warn(
            f"`{folder}` holds the run of an earlier trainer of this process: this trainer takes the weights of that "
            f"run and goes on at step {trainer.step}. Give every run a folder of its own where this is not meant.",
            stacklevel=6,
        )
    if trainer.rank == 0 and trainer.progress:
        print(f"`{folder}`: the run goes on at step {trainer.step} of {trainer.planned}.")


def _next_free(folder: Path) -> Path:
    """Make and return ``folder-2``, ``folder-3``, ...: the first free name."""
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
