"""What a frozen encoder makes of a dataset, computed once."""

import functools
import hashlib
import json
import os
import shutil
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from adapt.streams.stream import Batch, Stream, _KeyedRows, split

FORMAT = "adapt-losses features 2"
TORCH = {*vars(nn.Module()), "_compiled_call_impl"}  # what every module has: its mode, its dictionaries
HOOKS = ("_forward_pre_hooks", "_forward_hooks")  # adapters are added so
PLAIN = (int, float, complex, str, bytes, type(None), range, slice, torch.dtype, torch.device)
FEATURES, LABELS, MANIFEST = "features.bin", "labels.pt", "manifest.json"


def features(
    encoder: nn.Module,
    dataset: Dataset,
    folder: str | Path | None = None,
    *,
    transform: Callable | None = None,
    views: int = 1,
    seed: int = 0,
    version: str | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> TensorDataset:
    """Features of every row, as a dataset: a :class:`Stream` of it costs no encoder time in any epoch.

    Probe, few-shot, ranking, distances, active learning and the first part of LP-FT all take the result. For the frozen first
    layers of an encoder whose last layers learn, see :func:`encoders.split_at`.

    Args:
        encoder: any module; run in evaluation mode, without gradient, and left in the mode it was in.
        dataset: map-style, with or without labels.
        folder: where features are kept, one subfolder for each fingerprint; they are then memory-mapped and not read into memory.
            ``None`` keeps them in memory alone.
        transform: random augmentation of one input, as in :class:`Stream`, keyed by (seed, view, index).
        views: how often each row is augmented: the result has ``views * n`` rows, all rows of the first view first.
        seed: of the augmentation.
        version: stands for the data in the fingerprint: a name that you change whenever the data or the transform change.
            ``None`` reads every input and takes its bytes: always right, and costs one reading of the data.
        batch_size: rows at a time; changes the features in the last digits only.
        device: where the encoder runs; it must lie there. The features come back on the CPU.
        precision: ``"float32"``, or ``"bf16"`` for autocast. Features are at least float32.

    The fingerprint depends on the weights and buffers of the encoder, saved or not, on its structure and settings, on the code of its
    modules' methods and forward hooks, on precision, on every input after its preprocessing, on the labels and on the augmentation.
    Anything else is another subfolder, so that a stale cache is never used. It does not see into functions that this code calls, nor
    into settings kept in objects of other kinds than modules, numbers, text, arrays, functions and sequences and dicts of these: give
    another `folder` when such a thing changes. A subfolder appears whole or not at all, and its content is hashed again when it
    is opened: a torn one is made again with a warning.

    Every rank computes for itself, or finds what is kept.

    Raises:
        ValueError: an empty dataset, more than one view without a transform, an unknown precision.
    """
    rows = len(dataset)  # type: ignore[arg-type]
    if rows == 0:
        raise ValueError("`dataset` is empty: there is nothing to encode.")
    if views < 1 or (views > 1 and transform is None):
        raise ValueError(f"`views` must be 1, or more with a `transform` that makes them differ, got {views}.")
    if precision not in ("float32", "bf16"):
        raise ValueError(f"`precision` must be 'float32' or 'bf16', got {precision!r}.")

    def read() -> Iterator[Batch]:
        return _batches(dataset, transform, views, seed, batch_size)

    if folder is None:
        parts, labels = [], []
        for batch, out in _encode(encoder, read(), device, precision):
            parts.append(out)
            labels.append(batch.labels)
        return _dataset(torch.cat(parts), None if labels[0] is None else torch.cat(labels))  # type: ignore[arg-type]
    mark = fingerprint(encoder, read(), version, precision, rows, views, seed)
    path = Path(folder) / f"features-{mark}"
    if path.exists():
        kept = _open(path)
        if kept is not None:
            return kept
        warnings.warn(f"`{path}` is torn; it is made again.", stacklevel=2)
        shutil.rmtree(path)
    _write(path, _encode(encoder, read(), device, precision))
    made = _open(path)
    if made is None:
        raise OSError(f"`{path}` could not be read back after it was written: is the disk full?")
    return made


def fingerprint(
    encoder: nn.Module, batches: Iterator[Batch], version: str | None, precision: str, rows: int, views: int, seed: int
) -> str:
    """32 hexadecimal digits; see :func:`features`."""
    digest = hashlib.blake2b(repr((FORMAT, precision, rows, views, seed, version)).encode(), digest_size=16)
    _take(digest, encoder, {})
    if version is None:
        for batch in batches:
            _take(digest, [batch.inputs, batch.labels], {})
    return digest.hexdigest()


def _take(digest: Any, value: Any, seen: dict[int, int]) -> None:
    """Take in tensors and arrays by their bytes, modules and functions by their code and what they hold, plain values as they are,
    in dicts and sequences too; anything else by its type. `seen` numbers the modules, classes and functions that were taken."""
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufc":
        value = torch.from_numpy(numpy.ascontiguousarray(value))
    if isinstance(value, Tensor):
        digest.update(repr((value.shape, value.dtype)).encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, dict):
        for name, part in value.items():
            digest.update(repr(name).encode())
            _take(digest, part, seen)
    elif isinstance(value, tuple | list):
        digest.update(str(len(value)).encode())
        for part in value:
            _take(digest, part, seen)
    elif isinstance(value, functools.partial):
        _take(digest, [value.func, value.args, value.keywords], seen)
    elif isinstance(value, nn.Module) or hasattr(value, "__qualname__"):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        digest.update(repr((name, seen.get(id(value)))).encode())
        if id(value) not in seen:
            seen[id(value)] = len(seen)
            _take(digest, _module(value) if isinstance(value, nn.Module) else _function(value), seen)
    else:
        digest.update(repr(value if isinstance(value, PLAIN) else type(value).__qualname__).encode())


def _module(module: nn.Module) -> list[Any]:
    """What decides what it computes."""
    classes = [c for c in type(module).__mro__ if c not in nn.Module.__mro__]
    settings = {name: value for name, value in vars(module).items() if name not in TORCH}
    hooks = [
        list(vars(module)[name].values()) for name in HOOKS
    ]  # without their numbers, which are counted over all modules
    parts = [vars(module)[name] for name in ("_parameters", "_buffers", "_modules")]
    return [classes, settings, module.extra_repr(), hooks, parts]


def _function(value: Any) -> list[Any]:
    """The code of a function, with what it captured; the methods of a module's class."""
    if isinstance(value, type):
        methods = {name: getattr(f, "__func__", getattr(f, "fget", f)) for name, f in vars(value).items()}
        return [f for f in methods.values() if hasattr(f, "__code__")] if issubclass(value, nn.Module) else []
    cells = [c.cell_contents for c in getattr(value, "__closure__", None) or () if c != types.CellType()]
    owner = getattr(value, "__self__", None)
    return [_code(getattr(value, "__code__", None)), getattr(value, "__defaults__", None), cells, owner]


def _code(code: types.CodeType | None) -> Any:
    """Without names and line numbers; sets of constants have no order."""
    if code is None:
        return None
    constants = [c for c in code.co_consts if not isinstance(c, frozenset)]
    parts = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in constants]
    return [code.co_code, code.co_names, parts]


def _batches(dataset: Dataset, transform: Callable | None, views: int, seed: int, batch_size: int) -> Iterator[Batch]:
    """Every row of every view, in order."""
    rows = len(dataset)  # type: ignore[arg-type]
    labelled = split(dataset[0])[1] is not None
    stream = Stream(dataset, min(batch_size, rows), labels=labelled, transform=transform, shuffle=False)
    keyed = _KeyedRows(stream, "features", seed)
    for view in range(views):
        for index in torch.arange(rows).split(batch_size):
            if isinstance(dataset, TensorDataset) and transform is None:
                inputs, *rest = (part[index] for part in dataset.tensors)
                yield Batch(inputs, rest[0] if labelled else None, index)
            else:
                yield keyed.read([(view, int(i)) for i in index])


@torch.no_grad()
def _encode(
    encoder: nn.Module, batches: Iterator[Batch], device: torch.device | str, precision: str
) -> Iterator[tuple[Batch, Tensor]]:
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        for batch in batches:
            moved = batch.map(lambda x: x.to(device))
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
                out = encoder(moved.inputs)
            wide = out if out.dtype == torch.float64 else out.float()
            yield batch, wide.cpu().contiguous()
    finally:
        for module, training in modes:
            module.training = training


def _write(path: Path, parts: Iterator[tuple[Batch, Tensor]]) -> None:
    """Under a name of our own, flushed, and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        rows, labels, digest = 0, [], hashlib.blake2b(digest_size=16)
        with (temporary / FEATURES).open("wb") as file:
            for batch, out in parts:
                block = out.numpy().tobytes()
                file.write(block)
                digest.update(block)
                labels.append(batch.labels)
                rows += len(out)
            file.flush()
            os.fsync(file.fileno())
        column = None if labels[0] is None else torch.cat(labels)  # type: ignore[arg-type]
        torch.save(column, temporary / LABELS)
        manifest = {
            "format": FORMAT,
            "shape": [rows, *out.shape[1:]],
            "dtype": str(out.dtype).removeprefix("torch."),
            "features": digest.hexdigest(),
            "labels": hashlib.blake2b((temporary / LABELS).read_bytes(), digest_size=16).hexdigest(),
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest))
        for name in (LABELS, MANIFEST):
            with (temporary / name).open("rb") as file:
                os.fsync(file.fileno())
        try:
            temporary.rename(path)
        except OSError:
            if not path.exists():  # else another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(path: Path) -> TensorDataset | None:
    """The kept features, or None where anything about them is not as it was written."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        shape, dtype = manifest["shape"], getattr(torch, manifest["dtype"])
        if manifest["format"] != FORMAT or _digest(path / FEATURES) != manifest["features"]:
            return None
        if _digest(path / LABELS) != manifest["labels"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    size = torch.Size(shape).numel()
    kept = torch.from_file(str(path / FEATURES), shared=False, size=size, dtype=dtype).view(shape)
    return _dataset(kept, torch.load(path / LABELS, weights_only=True))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _dataset(rows: Tensor, labels: Tensor | None) -> TensorDataset:
    return TensorDataset(rows) if labels is None else TensorDataset(rows, labels)
