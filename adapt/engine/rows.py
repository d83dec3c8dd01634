"""What a few rows of a stream look like: enough to tell other data of the same length, in milliseconds."""

import hashlib
import math
import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.randomness import untouched_randomness
from adapt.streams import Stream
from adapt.streams.items import ItemForm, KeyedRows
from adapt.streams.memory import columns
from adapt.streams.workers import RowError

SECONDS = 0.02  # for each stream
ROWS, IN_MEMORY = 16, 64
DECODED = 2e-3  # two versions of a decoder of images or sound may differ by so much


def look(name: str, stream: Stream, seed: int) -> dict[str, Any]:
    """Return numbers of a few rows of a stream, with augmentation; of rows in memory, marks of the rows and the labels.

    Rows that are not the same when read twice, by randomness without a key, are left out; so is what a slow dataset
    does not give within 20 milliseconds.
    """
    memory = columns(stream.dataset) if stream.form == ItemForm() else None
    found = dict[str, Any]()
    if memory is not None:
        found["rows"] = mark(memory.take(0, torch.tensor(spread(stream.rows, IN_MEMORY))))
        found["labels"] = mark(memory.take(1, torch.arange(stream.rows))) if stream.labels else None
    if memory is None or stream.views != (None,):
        found |= _read(name, stream, seed)
    return found


def _read(name: str, stream: Stream, seed: int) -> dict[str, Any]:
    rows = KeyedRows(
        stream.dataset, stream.form, labels=stream.labels, views=stream.views, name=name, seed=seed,
        item_name=stream.rows_of,
    )  # fmt: skip
    until, found = time.perf_counter() + SECONDS, dict[str, Any]()
    with untouched_randomness():
        for number, row in enumerate(spread(stream.rows, ROWS)):
            if number > 1 and time.perf_counter() > until:
                break
            try:
                read = _numbers(rows[0, row], stream)
                if number == 0 and not close(read, _numbers(rows[0, row], stream)):
                    return {}
            except RowError:  # raises again where the row is needed
                return {}
            found[f"row {row}"] = read
    return found


def spread(rows: int, count: int) -> list[int]:
    """Return the first and the last row, and others between, at most `count`."""
    return list(dict.fromkeys(round(k * (rows - 1) / (count - 1)) for k in (0, *range(count - 1, 0, -1))))


def mark(values: Tensor) -> str:
    return hashlib.blake2b(values.contiguous().flatten().view(torch.uint8).numpy().data, digest_size=8).hexdigest()


def close(one: list[float], other: list[float]) -> bool:
    """Whether two rows are the same, but for the rounding of a decoder."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=DECODED, abs_tol=DECODED) for a, b in zip(one, other, strict=True)
    )


def _numbers(row: tuple[int, Any, list[Any]], stream: Stream) -> list[float]:
    _, item, views = row
    return [*numbers_of(views), *(numbers_of(stream.form.split(item)[1]) if stream.labels else [])]


def numbers_of(value: Any) -> list[float]:
    """Return a few numbers about a tree of tensors, arrays, images, numbers and texts."""
    if isinstance(value, Mapping):
        return [number for key in value for number in numbers_of(value[key])]
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers_of(part)]
    if isinstance(value, str | bytes):
        return [float(zlib.crc32(value.encode() if isinstance(value, str) else value))]
    if not isinstance(value, Tensor):
        found = numpy.asarray(value)  # numbers, arrays and images of PIL
        if found.dtype.kind not in "biuf":
            return []
        value = torch.from_numpy(numpy.array(found))
    if value.is_complex() or value.layout != torch.strided or value.is_quantized:
        return []
    x = value.detach().cpu().flatten().double().nan_to_num(-1.5)
    size = float(x.abs().mean()) if len(x) else 0.0
    if not size:
        return [float(len(x)), 0.0]
    ramp = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64)
    return [float(len(x)), size, *(float(n) / size for n in (x.mean(), x.std(correction=0), (x * ramp).mean()))]
