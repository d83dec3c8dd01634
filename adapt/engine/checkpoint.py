"""Checkpoints: complete or absent."""

import errno
import re
import shutil
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapt import store
from adapt.encoders._checkpoint import FORMAT, STATE, WEIGHTS
from adapt.engine.configuration import differences

KEYS = (  # of the state
    "step", "planned", "asked_for", "finished", "stopped", "told_at", "callbacks", "configuration", "ranks", "process",
    "optimizers", "ema", "extra",
)  # fmt: skip


class CheckpointError(ValueError):
    """A checkpoint is torn, foreign, or from another configuration."""


class NotWritten(OSError):
    """A checkpoint could not be written, say to a full disk. Nothing of the checkpoint is left."""


class TornCheckpoint(CheckpointError):
    """A file of a checkpoint is missing or changed."""


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name; a tensor with two names is saved once, under the first name."""
    unique: dict[int, str] = {}
    values = {n: v for n, v in model.state_dict(keep_vars=True).items() if isinstance(v, Tensor)}
    for name, tensor in values.items():
        unique.setdefault(id(tensor), name)
    return {name: values[name].detach() for name in unique.values()}


def extras(model: nn.Module) -> dict[str, Any]:
    """Return the parts of the state of a model that are no tensors, such as those of ``get_extra_state``, by name."""
    return {name: value for name, value in model.state_dict(keep_vars=True).items() if not isinstance(value, Tensor)}


def check_holds(value: Any, name: str) -> None:
    """Raise unless a checkpoint can hold a part of the state: tensors, numbers, texts, and lists and dicts of such.

    Raises:
        CheckpointError: with the name of the part.
    """
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        return
    if isinstance(value, Mapping) and type(value) in (dict, OrderedDict, Counter):
        for key, part in value.items():
            check_holds(part, f"{name}.{key}" if name else str(key))
    elif type(value) in (list, tuple, set):
        for number, part in enumerate(value):
            check_holds(part, f"{name}[{number}]")
    elif not isinstance(value, int | float | complex | str | None) and not isinstance(value, torch.dtype):
        kind = (
            f"a tensor of {value.dtype}, {value.layout}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        )
        raise CheckpointError(
            f"`{name}` of this run is {kind}, and a checkpoint holds dense tensors, numbers, texts, and lists and "
            "dicts of these: change that part, take it out of the trainer (a frozen encoder gives its features once, "
            "`adapt.engine.features`), or train without `log=`."
        )


def separate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without memory in common, which is what a safetensors file needs; others are copied."""
    taken: set[int] = set()
    found = {}
    for name, tensor in weights.items():
        own = tensor.detach().contiguous()
        if own.untyped_storage().data_ptr() in taken or own.untyped_storage().nbytes() != own.numel() * own.itemsize:
            own = own.clone()
        taken.add(own.untyped_storage().data_ptr())
        found[name] = own
    return found


def put(tensor: Tensor, values: Tensor) -> None:
    """Copy values into a tensor; into an expanded tensor, once for each place in memory."""
    once = tuple(slice(0, 1) if step == 0 else slice(None) for step in tensor.stride())
    tensor[once].copy_(values[once])


def write(path: Path, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint folder: weights as safetensors, the rest with ``torch.save``, a manifest with the hashes of
    both.

    `path` is either the whole checkpoint or absent, whenever the process dies.

    Raises:
        FileExistsError: `path` exists already.
        NotWritten: the disk is full, or another error of the system.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with store.whole_folder(path) as temporary:
            save_file(separate(weights), temporary / WEIGHTS)
            with (temporary / STATE).open("wb") as file:  # torch tells no reason for a path that cannot be written
                torch.save(state, file)
            store.seal(temporary, FORMAT)
    except FileExistsError:
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        number, reason = _of_system(error)
        if number is None:
            raise
        raise NotWritten(
            number,
            f"the checkpoint `{path}` could not be written: {reason}. Nothing of this checkpoint is left, and earlier "
            "checkpoints are whole: make room, and start the run again, which goes on from the newest checkpoint",
        ) from error


def _of_system(error: BaseException | None) -> tuple[int | None, str]:
    """Return number and text of the error of the system behind an error of torch or safetensors; None without one."""
    while error is not None:
        found = re.search(r"os error (\d+)", str(error))
        if isinstance(error, OSError) or found:
            number = int(found[1]) if found else error.errno  # type: ignore[attr-defined]  # an OSError
            return number or errno.EIO, str(error)
        error = error.__cause__ or error.__context__
    return None, ""


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights and the state of a checkpoint folder.

    Raises:
        FileNotFoundError: nothing at `path`.
        TornCheckpoint: a file is missing or was changed.
        CheckpointError: not a checkpoint of this toolkit, a checkpoint in another format, or without a key of the
            state.
    """
    from safetensors.torch import load_file

    if not path.exists():
        raise FileNotFoundError(f"expected a checkpoint folder at `{path}`, and there is none.")
    try:
        store.check(path, FORMAT, (WEIGHTS, STATE))
    except store.Torn as error:
        raise TornCheckpoint(f"{error} Resume from an earlier checkpoint.") from error
    except store.Foreign as error:
        raise CheckpointError(
            f"{error} `{path}` is not a checkpoint of this toolkit, or not one of this version: expected a folder that "
            "Trainer.save wrote. For bare weights use encoders.load_weights."
        ) from error
    try:
        weights, state = load_file(path / WEIGHTS), store.load_torch(path / STATE)
        missing = [key for key in KEYS if key not in state]
        dict(state.get("configuration", {}))
    except Exception as error:  # the hashes are right, and whoever wrote the files wrote something else
        raise CheckpointError(
            f"`{path}` holds a {STATE} or {WEIGHTS} that Trainer.save did not write: {error}. Resume from another "
            "checkpoint."
        ) from error
    if missing:
        raise CheckpointError(
            f"`{path / STATE}` must have the keys {', '.join(KEYS)}, and has no {', '.join(missing)}: expected a "
            "checkpoint of this version of the toolkit."
        )
    return weights, state


def name(step: int) -> str:
    """Return the folder's name for a step: the names sort as the steps do."""
    return f"step-{step:09d}"


def newest_first(folder: Path) -> list[Path]:
    """Return the checkpoint folders inside `folder`, the latest step first; other names and links are left alone."""
    own = [p for p in folder.glob("step-*") if re.fullmatch(r"step-\d{9,}", p.name) and not p.is_symlink()]
    return sorted((p for p in own if p.is_dir()), key=lambda p: int(p.name.removeprefix("step-")), reverse=True)


def usable(folder: Path) -> Iterator[tuple[Path, dict[str, Tensor], dict[str, Any]]]:
    """Yield the checkpoints inside `folder`, the newest first; a torn checkpoint is passed over with a warning.

    Raises:
        CheckpointError: a checkpoint of another version of the toolkit.
    """
    for path in newest_first(folder):
        try:
            yield path, *read(path)
        except CheckpointError as error:
            if isinstance(error.__cause__, store.OtherVersion):
                raise
            warnings.warn(f"{error} The one before it is used.", stacklevel=3)


def newest(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """Return the newest whole checkpoint inside `folder`.

    Raises:
        FileNotFoundError: no whole checkpoint.
    """
    for found in usable(folder):
        return found
    raise FileNotFoundError(f"expected a checkpoint in `{folder}`, and there is none to use.")


def check_same(
    where: Path,
    saved: Mapping[str, Any],
    configuration: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
) -> None:
    """Raise unless a checkpoint has the configuration of a trainer, and weights of the same names and shapes.

    Args:
        where: the path of the checkpoint, for the message.
        saved, configuration: of the checkpoint and of the trainer.
        weights, own: of the checkpoint and of the trainer.

    Raises:
        CheckpointError: something differs.
    """
    shapes = [{name: str(tuple(w.shape)) for name, w in tensors.items()} for tensors in (weights, own)]
    pairs = [(saved, configuration), (shapes[0], shapes[1])]
    other = [text for one, two in pairs for text in differences(one, two, lambda a, b: f"{a} there, {b} here")]
    if other:
        raise CheckpointError(
            f"`{where}` is from another configuration: {'; '.join(other[:3])}. Make the trainer as it was, choose "
            'another folder (`log=...`, or `exist="new"`), or load only the weights with encoders.load_weights.'
        )


def keep_newest(folder: Path, count: int) -> None:
    """Delete all but the `count` newest checkpoints inside `folder`."""
    for path in newest_first(folder)[count:]:
        shutil.rmtree(path)
