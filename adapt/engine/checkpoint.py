"""Checkpoints: complete or not there."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FORMAT = "adapt-losses checkpoint 1"
WEIGHTS, STATE, MANIFEST = "weights.safetensors", "state.pt", "manifest.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: torn, foreign, or from another configuration."""


class TornCheckpoint(CheckpointError):
    """A checkpoint of ours with a part missing or changed."""


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Everything that is saved, by name; a tensor that is there twice, under its first name."""
    unique: dict[int, str] = {}
    values = model.state_dict(keep_vars=True)
    for name, tensor in values.items():
        unique.setdefault(id(tensor), name)
    return {name: values[name].detach() for name in unique.values()}


def write(path: Path, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint folder: weights as safetensors, the rest with ``torch.save``, a manifest with their hashes.

    Everything goes to a temporary name beside `path`, is flushed to the disk, and renamed: `path` is either the whole
    checkpoint or absent, whenever the process dies.

    Raises:
        FileExistsError: there is something at `path` already.
    """
    from safetensors.torch import save_file

    if path.exists():
        raise FileExistsError(f"`{path}` exists already; expected a new name for the checkpoint.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a run that was killed while it wrote
    temporary.mkdir()
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, temporary / WEIGHTS)
    torch.save(state, temporary / STATE)
    files = {name: _fingerprint(temporary / name) for name in (WEIGHTS, STATE)}
    (temporary / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": files}, indent=1))
    for part in (temporary / WEIGHTS, temporary / STATE, temporary / MANIFEST, temporary):
        _flush(part)
    temporary.rename(path)
    _flush(path.parent)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and the state of a checkpoint folder.

    Raises:
        FileNotFoundError: nothing at `path`.
        TornCheckpoint: a file is missing or is not the one that was written.
        CheckpointError: not a checkpoint of this toolkit.
    """
    from safetensors.torch import load_file

    if not path.exists():
        raise FileNotFoundError(f"expected a checkpoint folder at `{path}`, and there is none.")
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"`{path}` is not a checkpoint of this toolkit: expected a folder with {MANIFEST}, {WEIGHTS} and {STATE} "
            f"written by Trainer.save ({type(error).__name__}). For bare weights use encoders.load_weights."
        ) from error
    if version != FORMAT:
        raise CheckpointError(
            f"`{path}` is in the format {version!r}, expected {FORMAT!r}: read it with its own version."
        )
    for name, expected in manifest["files"].items():
        found = _fingerprint(path / name) if (path / name).is_file() else "nothing"
        if found != expected:
            raise TornCheckpoint(
                f"`{path / name}` is torn: expected {expected}, found {found}. Resume from an earlier checkpoint."
            )
    return load_file(path / WEIGHTS), torch.load(path / STATE, map_location="cpu", weights_only=True)


def name(step: int) -> str:
    return f"step-{step:09d}"


def newest_first(folder: Path) -> list[Path]:
    """The checkpoint folders inside `folder`, the latest step first."""
    return sorted((p for p in folder.glob("step-*") if p.is_dir()), reverse=True)


def usable(folder: Path) -> Iterator[tuple[Path, dict[str, Tensor], dict[str, Any]]]:
    """Checkpoints inside `folder`, the newest first; a torn one is passed over with a warning."""
    for path in newest_first(folder):
        try:
            yield path, *read(path)
        except TornCheckpoint as error:
            warnings.warn(f"{error} The one before it is used.", stacklevel=3)


def keep_newest(folder: Path, count: int) -> None:
    """Delete all but the `count` newest checkpoints inside `folder`."""
    for path in newest_first(folder)[count:]:
        shutil.rmtree(path)


def _fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"{path.stat().st_size} bytes, sha256 {digest.hexdigest()}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
