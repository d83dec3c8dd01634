"""Sizes before allocation: the content of a file takes at most 4 times the size of the file and 64 MiB.

A packed file says how large the content is, and the number may be wrong on purpose: two megabytes can claim gigabytes.
Every reader adds the claims up in a :class:`Budget` before the memory is taken.
"""

import math
import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path
from typing import IO

import numpy

FACTOR, SLACK = 4, 64 << 20
CHUNK = 1 << 18
ENTRY = 16  # bytes of memory that zipfile takes for one byte of the table of contents, at most
END = struct.Struct("<4s4H2LH")  # the end of a zip file: the two numbers L are the size and the place of the table
# numpy's own writer makes this header; numpy's reader would parse any expression of Python
NPY = re.compile(rb"\{'descr': '([<>|=])([a-zA-Z])(\d+)', 'fortran_order': (True|False), 'shape': \(([\dL, ]*)\),? *\}")


class TooLarge(ValueError):
    """The content of a file needs more memory than the budget of the file."""


class Budget:
    """The memory that the content of one file may take: 4 times the size of the file and 64 MiB.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path):
        self.left = FACTOR * Path(path).stat().st_size + SLACK

    @classmethod
    def of(cls, size: int) -> "Budget":
        """Return the budget of several files, of `size` bytes together."""
        made = cls.__new__(cls)
        made.left = FACTOR * size + SLACK
        return made

    def take(self, count: int, what: str) -> None:
        """Count `count` bytes, before `what` takes the bytes.

        Raises:
            TooLarge: fewer bytes are left.
        """
        self.allow(count, what)
        self.left -= count

    def allow(self, count: int, what: str) -> None:
        """Raise TooLarge where fewer than `count` bytes are left for `what`, which gives the bytes back."""
        if count > self.left:
            raise TooLarge(
                f"{what} needs {count:,} bytes of memory, and {self.left:,} are left of 4 times the file and 64 MiB; "
                "save the file without compression where the content is right"
            )


def unpacked(path: str | Path, *, cost: int) -> bytes:
    """Return the content of a gzip file.

    Args:
        path: the file.
        cost: bytes of memory that the reader takes for each byte of the content, the content included.

    Raises:
        TooLarge: the content needs more than the budget of the file.
        OSError, EOFError, zlib.error: the file is cut, or no gzip file.
    """
    budget, parts = Budget(path), []
    with GzipFile(path) as file:
        while part := file.read(CHUNK):
            budget.take(max(2, cost) * len(part), "the unpacked content")  # 2: the parts, and the parts together
            parts.append(part)
    return b"".join(parts)


class Archive:
    """The files inside a zip file, as :func:`open_zip` gives them.

    Attributes:
        names: of the files inside.
        budget: of the zip file, less what was read.
    """

    def __init__(self, archive: zipfile.ZipFile, budget: Budget):
        self._archive, self.budget, self.names = archive, budget, archive.namelist()

    def read(self, name: str, *, cost: int = 1) -> bytes:
        """Return the content of one file.

        Args:
            name: of the file.
            cost: bytes of memory that the reader takes for each byte of the content, the content included.

        Raises:
            TooLarge: the content needs more than the budget of the zip file.
            ValueError, OSError, EOFError, zipfile.BadZipFile: the content is not as the table of contents says.
        """
        with self.open(name) as (file, size):
            self.budget.take(cost * size, f"`{name}`")
            content = file.read(size)  # read() without a number would unpack more than the table says
            if len(content) < size or file.read(1):  # the second read compares the check sum
                raise ValueError(f"`{name}` does not have the {size} bytes of the table of contents")
        return content

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[IO[bytes], int]]:
        """Open one file, and give the file and the size that the table of contents says."""
        entry = self._archive.getinfo(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # lzma may ask for 4 GiB
            raise ValueError(f"`{name}` is packed in the way {entry.compress_type}, expected stored or deflated")
        with self._archive.open(entry) as file:
            yield file, entry.file_size


@contextmanager
def open_zip(path: str | Path) -> Iterator[Archive]:
    """Open a zip file whose table of contents and content stay within the budget of the file.

    Raises:
        TooLarge: the table of contents needs more than the budget.
        zipfile.BadZipFile: no zip file.
    """
    budget = Budget(path)
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END.size - (1 << 16)))
        tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if 0 <= place <= len(tail) - END.size:
        table = END.unpack_from(tail, place)[5]
        budget.take(ENTRY * min(table, size), "the table of contents")  # 4 GiB and more: the true size is elsewhere
    with zipfile.ZipFile(path) as archive:
        yield Archive(archive, budget)


def arrays(path: str | Path, names: Sequence[str] | None = None, *, cost: int = 1) -> dict[str, numpy.ndarray]:
    """Return arrays of numbers of an npz file by name.

    Args:
        path: the file.
        names: of the arrays; None takes all.
        cost: bytes of memory that the reader takes for each byte of an array, the array included.

    Raises:
        TooLarge: the arrays need more than the budget of the file.
        KeyError: no array of a name.
        ValueError, OSError, EOFError, zipfile.BadZipFile: the file is cut, or holds something else than numbers.
    """
    with open_zip(path) as archive:
        wanted = [name.removesuffix(".npy") for name in archive.names] if names is None else names
        if len(set(archive.names)) < len(archive.names):
            raise ValueError("two arrays have one name")
        missing = [name for name in wanted if f"{name}.npy" not in archive.names]
        if missing:
            raise KeyError(f"no array {', '.join(missing)} among {', '.join(archive.names[:9]) or 'nothing'}")
        return {name: _array(archive, f"{name}.npy", cost) for name in wanted}


def _array(archive: Archive, name: str, cost: int) -> numpy.ndarray:
    with archive.open(name) as (file, size):
        start = file.read(8)
        wide = 2 if start[6:7] == b"\1" else 4
        length = int.from_bytes(file.read(wide), "little")
        found = NPY.fullmatch(file.read(min(length, 1 << 16)).rstrip(b" \n"))
        if start[:6] != b"\x93NUMPY" or found is None or found[2] not in b"biufc":
            raise ValueError(f"`{name}` is no array of numbers")
        dtype = numpy.dtype(b"".join(found.groups()[:3]).decode())
        shape = tuple(int(side.rstrip(b"L ")) for side in found[5].split(b",") if side.strip())
        count = math.prod(shape) * dtype.itemsize
        if 8 + wide + length + count != size:
            raise ValueError(f"`{name}` claims the shape {shape} of {dtype} and has {size} bytes")
        archive.budget.take(cost * count, f"`{name}` of the shape {shape}")
        raw = numpy.empty(count, numpy.uint8)
        for at in range(0, count, CHUNK):
            part = file.read(min(CHUNK, count - at))
            raw[at : at + len(part)] = numpy.frombuffer(part, numpy.uint8)
            if len(part) < min(CHUNK, count - at):
                raise EOFError(f"`{name}` ends early")
        if file.read(1):  # the read compares the check sum too
            raise ValueError(f"`{name}` goes on after its array")
    values = raw.view(dtype).reshape(shape, order="F" if found[4] == b"True" else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)
