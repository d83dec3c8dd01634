"""Where a result comes from: weights, data, settings, versions, code, and the labels that were read."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.engine import Model, Trainer, runtime
from adapt.engine.callbacks.logged import Chooses
from adapt.engine.card import UNKNOWN, card_of_run, shown_data, versions, weights_of
from adapt.protocols import MapStyle, offers
from adapt.randomness import seed_cpu, untouched_randomness
from adapt.report.records import Data

ROWS = 200  # of a data set in a fingerprint
GIT_SECONDS = 5.0


def provenance(
    run: Model | Trainer | None, data: Data | Mapping[str, MapStyle] | None = None, *, selection: str | None = None
) -> dict[str, Any]:
    """Return what somebody needs to know to trust a result and to repeat it, as json.

    - ``"encoder"`` and ``"head"``: the classes; ``"weights"``: source and licence of the weights that training began
      with, and the fingerprint of the weights now (BLAKE2b of names, shapes and bytes).
    - ``"data"``: for each data set its description, the number of rows and a fingerprint: BLAKE2b of at most 200 rows,
      evenly spaced from the first to the last. A change in other rows of a larger data set does not show.
    - ``"labels"``: for each stream, which terms learned from the labels. ``"target labels"``: whether training or a
      choice saw a label of the stream ``target`` (``"yes"``, ``"no"``, or ``"unknown"`` with the reason), and what saw
      the labels. Labels for the score alone do not count.
    - ``"selection"``: which weights were taken, and which callbacks chose.
    - ``"settings"``, ``"steps"``, ``"versions"``, ``"machine"`` (system and device, without names), and ``"git"``:
      commit, branch, and the number of changed and of untracked files of the repository in the working folder.

    Args:
        run: a trainer, a model, or None where a function gave plain scores.
        data: the rows of a task, or data sets by name.
        selection: the rule of selection in words, where the library cannot know the rule.

    Raises:
        TypeError: a `run` of another kind.

    >>> provenance(None, {"test": [(1.0, 0), (2.0, 1)]})["data"]["test"]["rows"]
    2
    """
    if not isinstance(run, Model | Trainer | None):
        raise TypeError(f"`run` must be a trainer, a model or None, got a {type(run).__name__}.")
    found: dict[str, Any] = {"encoder": UNKNOWN, "head": UNKNOWN, "weights": {"source": UNKNOWN, "licence": UNKNOWN}}
    card: Mapping[str, Any] = {}
    if isinstance(run, Trainer):
        card = card_of_run(run)
        found |= _parts(run.encoder, *(module for term in run.terms for module in term.modules))
    elif isinstance(run, Model):
        card = run.card
        found |= _parts(run.encoder, run.head)
    return {
        **found,
        "data": {name: _data(rows) for name, rows in _named(data).items()},
        "streams": card.get("data", {}),
        "labels": card.get("labels", {}),
        "target labels": _target_labels(card),
        "selection": selection or (_rule(run) if isinstance(run, Trainer) else UNKNOWN),
        "steps": card.get("steps"),
        "settings": card.get("settings", {}),
        "versions": versions(),
        "machine": _machine(),
        "git": git_state(Path.cwd()),
    }


def _parts(encoder: nn.Module, *heads: nn.Module) -> dict[str, Any]:
    return {
        "encoder": type(encoder).__name__,
        "head": ", ".join(dict.fromkeys(type(head).__name__ for head in heads)),
        "weights": {**weights_of(encoder), "fingerprint": weights_fingerprint(encoder)},
    }


def weights_fingerprint(module: nn.Module) -> str:
    """Return 32 hexadecimal digits of the parameters and buffers of a module; equal weights have equal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        _take(digest, value)
    return digest.hexdigest()


def data_fingerprint(dataset: MapStyle) -> str:
    """Return 32 hexadecimal digits of the number of rows and of at most 200 rows, evenly spaced.

    The digits depend on inputs and labels as the data set gives them, after preparation. Randomness inside of the data
    set has the same seed in each call.
    """
    count = len(dataset)
    digest = hashlib.blake2b(str(count).encode(), digest_size=16)
    spread = numpy.unique(numpy.linspace(0, count - 1, min(count, ROWS)).round().astype(int))
    with untouched_randomness():
        seed_cpu(0)
        for row in spread.tolist():
            _take(digest, dataset[row])
    return digest.hexdigest()


def _take(digest: Any, value: Any) -> None:
    """Add the content of a tree of tensors, arrays, images, numbers and texts to a digest."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(repr(key).encode())
            _take(digest, part)
    elif isinstance(value, tuple | list):
        digest.update(f"{len(value)} parts".encode())
        for part in value:
            _take(digest, part)
    elif isinstance(value, str | bytes | bool | int | float | None):
        digest.update(repr(value).encode())
    elif isinstance(value, Tensor):
        dense = value.dequantize() if value.is_quantized else value.to_dense() if value.is_sparse else value
        plain = dense.detach().cpu().contiguous()
        digest.update(f"{tuple(plain.shape)} {plain.dtype}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    else:
        array = numpy.ascontiguousarray(value)  # of numpy, and images of PIL
        known = array.dtype.kind in "biufcSU"
        digest.update(f"{array.shape} {array.dtype}".encode() + (array.tobytes() if known else repr(value).encode()))


def _named(data: Data | Mapping[str, MapStyle] | None) -> Mapping[str, MapStyle]:
    if isinstance(data, Data):
        parts = {"test": data.test, "source": data.source, "target": data.target}
        return {name: rows for name, rows in parts.items() if rows is not None}
    return data or {}


def _data(dataset: MapStyle) -> dict[str, Any]:
    return {"what": shown_data(dataset), "rows": len(dataset), "fingerprint": data_fingerprint(dataset)}


def _target_labels(card: Mapping[str, Any]) -> dict[str, Any]:
    seen = str(card.get("target label seen", UNKNOWN))
    by = [words for name, words in card.get("labels", {}).items() if name == "target" and words.startswith("learned")]
    if seen.startswith("yes, "):  # a choice
        by.append(seen.removeprefix("yes, "))
    return {"seen": "yes" if seen.startswith("yes") else seen, "by": by}


def _rule(trainer: Trainer) -> str:
    weights = "the average of the weights" if trainer.ema is not None else "the weights"
    rule = f"{weights} after the last step, {trainer.step}"
    choices = [repr(callback) for callback in trainer.callbacks if offers(callback, Chooses)]
    stopped = f"; stopped: {trainer.stopped}" if trainer.stopped else ""
    return rule + (f"; callbacks that choose: {', '.join(choices)}" if choices else "") + stopped


def _machine() -> dict[str, Any]:
    gpu = torch.cuda.is_initialized()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "threads": torch.get_num_threads(),
        "ranks": runtime.world_size(),
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit, branch, and the number of changed and of untracked files of a folder's repository.

    Without git and without a repository the only entry is ``"none"``, with the reason.
    """
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"none": f"git did not answer within {GIT_SECONDS:.0f} seconds"}
    except OSError:
        return {"none": "the program git is not there"}
    if done.returncode != 0:
        return {"none": "git knows no repository at the working folder"}
    lines = done.stdout.splitlines()
    facts = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    return {
        "commit": facts.get("branch.oid", UNKNOWN),
        "branch": facts.get("branch.head", UNKNOWN),
        "changed": sum(line[:1] in ("1", "2", "u") for line in lines),
        "untracked": sum(line.startswith("?") for line in lines),
    }
