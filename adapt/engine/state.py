"""The state of a trainer: into a checkpoint, and back."""

import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adapt.encoders._lora import expect_unmerged
from adapt.engine import checkpoint, runtime
from adapt.engine.callbacks import calling
from adapt.engine.configuration import configuration
from adapt.engine.description import plain
from adapt.engine.finite import check_weights
from adapt.engine.model_checkpoint import facts_of_run

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

PROCESS = uuid.uuid4().hex  # tells the runs of this process from the runs of others
Found = tuple[Path, dict[str, Tensor], dict[str, Any]]  # path, weights and state of a checkpoint


def save(trainer: "Trainer", path: str | Path | None) -> Path:
    """Write the state of `trainer` to `path`, or into the log folder, and return the path; see ``Trainer.save``."""
    if not trainer.looping:
        check_whole(trainer)
    expect_unmerged(trainer.network, "a checkpoint holds adapters beside the weights")
    trainer.finite.read()
    runtime.average_buffers(trainer.network)
    weights = checkpoint.tensors(trainer.network)
    check_weights(trainer.step, weights)
    target = trainer.checkpoints / checkpoint.name(trainer.step) if path is None else Path(path)
    if trainer.rank == 0:
        checkpoint.write(target, weights, plain(_state(trainer)))
        if path is None:
            checkpoint.keep_newest(trainer.checkpoints, trainer.keep)
    runtime.wait()
    return target


def _state(trainer: "Trainer") -> dict[str, Any]:
    return {
        "step": trainer.step, "planned": trainer.planned, "asked_for": sorted(trainer.asked_for),
        "finished": trainer.finished, "stopped": trainer.stopped, "told_at": trainer.told_at,
        "callbacks": calling.states(trainer.callbacks), "configuration": configured(trainer), "ranks": trainer.world,
        "process": PROCESS, "torch": str(torch.__version__),
        "optimizers": [u.optimizer.state_dict() for u in trainer.updates],
        "ema": None if trainer.ema is None else trainer.ema.state_dict(),
        "extra": checkpoint.extras(trainer.network),
        "model": facts_of_run(trainer),
    }  # fmt: skip


def check_can_be_saved(trainer: "Trainer") -> None:
    """Raise before the first step where a checkpoint could not hold the state of `trainer`. Writes nothing.

    Raises:
        CheckpointError: with the name of the part.
    """
    checkpoint.check_holds(trainer.network.state_dict(keep_vars=True), "")
    state = plain(_state(trainer))
    checkpoint.check_holds({name: state[name] for name in ("optimizers", "callbacks", "configuration", "ema")}, "")


def found(trainer: "Trainer", path: str | Path | None) -> Found:
    """Return the checkpoint at `path`, or the newest whole checkpoint of the log folder, after a look at the settings.

    Raises:
        FileNotFoundError: no checkpoint.
        CheckpointError: torn, foreign, or from another configuration.
    """
    where, weights, saved = (
        checkpoint.newest(trainer.checkpoints) if path is None else (Path(path), *checkpoint.read(Path(path)))
    )
    own = checkpoint.tensors(trainer.network)
    checkpoint.check_same(where, saved["configuration"], configured(trainer), weights, own)
    return where, weights, saved


def configured(trainer: "Trainer") -> dict[str, Any]:
    """Return the configuration of `trainer`, as of the start of the last call of `fit` where there was one."""
    if trainer.configured is None:
        trainer.configured = configuration(trainer)
    return trainer.configured


def load(trainer: "Trainer", where: Path, weights: dict[str, Tensor], saved: dict[str, Any], *, depth: int = 3) -> None:
    """Put the state of a checkpoint of the same configuration into `trainer`; `depth` leads a warning to the user."""
    if saved["ranks"] != trainer.world and trainer.rank == 0:
        warnings.warn(
            f"`{where}` is from a run on {saved['ranks']} ranks, and this run has {trainer.world}: the same run up to "
            "rounding, and to dropout and random numbers of each rank. Only the same number of ranks gives the same "
            "bits.",
            stacklevel=depth,
        )
    trainer.torn = True
    for update, optimizer in zip(trainer.updates, saved["optimizers"], strict=True):
        update.optimizer.load_state_dict(optimizer)  # first, since an optimizer may refuse
    _put(trainer, weights, saved)
    trainer.step, trainer.planned, trainer.resumed = saved["step"], saved["planned"], True
    trainer.finished, trainer.stopped, trainer.told_at = saved["finished"], saved["stopped"], saved["told_at"]
    calling.load_states(trainer.callbacks, saved["callbacks"])
    trainer.asked_for.update(saved["asked_for"])
    trainer.claimed = trainer.folder is not None and where.parent == trainer.checkpoints
    trainer.torn = False


def check_whole(trainer: "Trainer") -> None:
    """Raise after an error or a second Ctrl-C inside of a step.

    Raises:
        RuntimeError: a part of the step may be in the weights, the optimizers and the buffers.
    """
    if trainer.torn:
        raise RuntimeError(
            f"step {trainer.step} did not end, and a part of the step may be in the weights: go back to a checkpoint "
            "with `trainer.resume()`, or `trainer.resume(path)`, or make the blocks and the trainer again."
        )


def load_weights(trainer: "Trainer", path: str | Path) -> None:
    """Put the weights of a checkpoint, and the average where one is kept, into `trainer`; the state of the run stays.

    Raises:
        The errors of :func:`found`.
    """
    _, weights, saved = found(trainer, path)
    _put(trainer, weights, saved)


def _put(trainer: "Trainer", weights: dict[str, Tensor], saved: dict[str, Any]) -> None:
    with torch.no_grad():
        for name, tensor in checkpoint.tensors(trainer.network).items():
            checkpoint.put(tensor, weights[name])
    for name, value in saved["extra"].items():
        trainer.network.get_submodule(name.rpartition(".")[0]).set_extra_state(value)
    if trainer.ema is not None:
        trainer.ema.load_state_dict(saved["ema"])
