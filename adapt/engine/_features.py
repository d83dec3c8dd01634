"""Features of a frozen encoder, computed once for each dataset."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapt import store
from adapt.encoders.encoder import no_tensor
from adapt.engine.fingerprint import fingerprint
from adapt.engine.refused import explained
from adapt.engine.runtime import checked
from adapt.evaluating import evaluating
from adapt.protocols import MapStyle
from adapt.streams import Batch
from adapt.streams.items import ItemForm, batches_of
from adapt.streams.tree import concatenate
from losses.options import COUNT, FROM_0, check

FORMAT = "adapt-losses features 3"
DTYPES = {"float32": torch.float32, "float64": torch.float64}
FEATURES, LABELS = "features.bin", "labels.pt"


def features(
    encoder: nn.Module,
    dataset: MapStyle,
    folder: str | Path | None = None,
    *,
    augment: Callable[[Any], Any] | None = None,
    views: int = 1,
    seed: int = 0,
    version: str | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    label: str | None = None,
    input: str | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
) -> TensorDataset:
    """Compute the features of every row, as a dataset.

    A :class:`Stream` of the result costs no encoder time in any epoch. Probe, few-shot, ranking, distances, active
    learning and the first part of LP-FT all take the result. For the frozen first layers of an encoder whose last
    layers learn, see :func:`encoders.split_at`.

    Args:
        encoder: any module. The encoder runs in evaluation mode and without gradient, and gets its mode back.
        dataset: map-style, with or without labels.
        folder: where features are kept, one subfolder for each fingerprint. Kept features are memory-mapped, not read
            into memory. ``None`` keeps nothing on disk.
        augment: random augmentation of one input, as in :class:`Stream`, keyed by (seed, view, index).
        views: how often each row is augmented: the result has ``views * n`` rows, all rows of the first view first.
        seed: of the augmentation.
        version: stands for the data in the fingerprint: a name that you change whenever the data or the augmentation
            change. ``None`` reads every input and takes the bytes: always right, and costs one reading of the data.
        batch_size: rows for each call of the encoder; changes the features in the last digits only.
        device: where the encoder lies and runs. The features come back on the CPU.
        precision: ``"float32"``, or ``"bf16"`` for autocast. Features are at least float32.
        label, input: key of the label and of the input in items that are mappings, as in :class:`Stream`.
        collate: from a list of items to a batch, as in :class:`Stream`.

    The fingerprint depends on the encoder's weights and buffers, saved or not; on the encoder's structure and settings;
    on the code of the modules' methods and forward hooks; on precision; on every input after preprocessing; on the
    labels and on the augmentation. Another fingerprint is another subfolder: a stale cache is never used. The
    fingerprint does not see functions that the code above calls, nor settings inside objects of other kinds than
    modules, numbers, text, arrays, functions, and sequences and dicts of these: give another `folder` when one of them
    changes. A subfolder appears whole or not at all. The files are hashed again when a subfolder is opened: a torn
    subfolder is made again with a warning.

    Every rank computes for itself, or finds the kept features.

    Raises:
        ValueError: an empty dataset, more than one view without an augmentation, an unknown precision.
        OSError: the written features cannot be read back.
    """
    rows = len(dataset)
    if rows == 0:
        raise ValueError("`dataset` is empty: there is nothing to encode.")
    check(COUNT, views=views, batch_size=batch_size)
    check(FROM_0, seed=seed)
    if views > 1 and augment is None:
        raise ValueError(f"`views` must be 1, or more with an `augment` that makes them differ, got {views}.")
    if precision not in ("float32", "bf16"):
        raise ValueError(f"`precision` must be 'float32' or 'bf16', got {precision!r}.")

    device, form = checked(device), ItemForm(label, collate, input)

    def read() -> Iterator[Batch]:
        for view in range(views):
            yield from batches_of(
                dataset, torch.arange(rows), batch_size, form, views=[augment], name="features", epoch=view, seed=seed
            )

    if folder is None:
        parts, labels = [], []
        with evaluating(encoder):
            for batch, out in _encode(encoder, read(), device, precision):
                parts.append(out)
                labels.append(batch.labels)
        return _dataset(torch.cat(parts), concatenate(labels))
    mark = fingerprint(encoder, read() if version is None else (), FORMAT, precision, rows, views, seed, version)
    path = Path(folder) / f"features-{mark}"
    if path.exists():
        kept = _open(path)
        if kept is not None:
            return kept
        warnings.warn(f"`{path}` is torn; it is made again.", stacklevel=2)
        shutil.rmtree(path)
    with evaluating(encoder):
        _write(path, _encode(encoder, read(), device, precision))
    made = _open(path)
    if made is None:
        raise OSError(f"`{path}` could not be read back after it was written: is the disk full?")
    return made


def _encode(
    encoder: nn.Module, batches: Iterator[Batch], device: torch.device | str, precision: str
) -> Iterator[tuple[Batch, Tensor]]:
    for batch in batches:
        moved = batch.map(lambda x: x.to(device))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
            try:
                out = encoder(moved.inputs)
            except RuntimeError as error:
                raise explained(error, encoder, moved.inputs, ["<dataset>"]) from error
        if not isinstance(out, Tensor):
            raise ValueError(f"`encoder` must return features (n, ...), {no_tensor(out)}")
        wide = out if out.dtype == torch.float64 else out.float()
        yield batch, wide.cpu().contiguous()


def _write(path: Path, parts: Iterator[tuple[Batch, Tensor]]) -> None:
    """Write block by block: the features need not fit into memory."""
    with store.whole_folder(path, several_writers=True) as temporary:
        rows, labels = 0, []
        with (temporary / FEATURES).open("wb") as file:
            for batch, out in parts:
                file.write(out.numpy().tobytes())
                labels.append(batch.labels)
                rows += len(out)
        torch.save(concatenate(labels), temporary / LABELS)
        dtype = "float64" if out.dtype == torch.float64 else "float32"
        store.seal(temporary, FORMAT, {"shape": [rows, *out.shape[1:]], "dtype": dtype})


def _open(path: Path) -> TensorDataset | None:
    """Return the kept features, or None where the folder is not as it was written."""
    try:
        facts = store.check(path, FORMAT, (FEATURES, LABELS))
        shape, dtype = torch.Size(facts["shape"]), DTYPES[facts["dtype"]]
        labels = store.load_torch(path / LABELS)
        if shape.numel() * dtype.itemsize != (path / FEATURES).stat().st_size:
            return None
    except (OSError, ValueError, KeyError, TypeError):  # store.Foreign and store.Torn are ValueErrors
        return None
    kept = torch.from_file(str(path / FEATURES), shared=False, size=shape.numel(), dtype=dtype).view(shape)
    return _dataset(kept, labels)


def _dataset(rows: Tensor, labels: Any) -> TensorDataset:
    if labels is not None and not isinstance(labels, Tensor):
        raise ValueError(
            f"`features` keeps labels that are one tensor, got a {type(labels).__name__}: take a dataset with one "
            "tensor of labels, or without labels."
        )
    return TensorDataset(rows) if labels is None else TensorDataset(rows, labels)
