"""Reader of MATLAB 5 files: arrays of real numbers, and cells of such arrays.

scipy's reader follows sizes and kinds in the file without a check, and one changed byte can end the process. The reader
here compares every size with the number of bytes in the file.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy

from adapt.store import Budget

KINDS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
SIGNED, UNSIGNED, MATRIX, PACKED = 5, 6, 14, 15  # kinds of elements: sizes, flags, a variable, a packed variable
CELL, NUMBERS, COMPLEX = 1, range(6, 16), 0x800  # classes of variables, and a flag
HEADER, ARRAY = 128, 256  # bytes of the header, bytes of memory of an array without its values
Values = numpy.ndarray | list[numpy.ndarray]
Order = Literal["<", ">"]  # of the bytes of a number


def read_matlab(path: str | Path, *names: str) -> list[Values]:
    """Return the variables `names` of a file: arrays, and a list of arrays for a cell, column by column.

    An array has the type of the numbers in the file, often narrower than the type in MATLAB.

    Raises:
        TooLarge: a packed variable needs more than the budget of the file.
        ValueError: a size beyond the end of the file, no variable of a name, a variable of another class.
    """
    budget, content = Budget(path), memoryview(Path(path).read_bytes())
    order: Order = "<" if content[126:128] == b"IM" else ">"
    if content[126:128] not in (b"IM", b"MI") or bytes(content[:10]) != b"MATLAB 5.0":
        raise ValueError("expected a MATLAB 5.0 file")
    budget.take(len(content), "the file")
    found: dict[str, Values] = {}
    rest = content[HEADER:]
    while len(rest):
        kind, value, rest = _element(rest, order)
        if kind == PACKED:
            unpack = zlib.decompressobj()
            value = memoryview(unpack.decompress(value, budget.left // 3 + 1))  # zlib holds the parts too
            budget.take(3 * len(value), "a packed variable")
            if not unpack.eof:
                raise ValueError("a packed variable is cut")
            kind, value, _ = _element(value, order)
        if kind != MATRIX:
            raise ValueError(f"an element of the kind {kind} where a variable should begin")
        name, array = _variable(value, order, budget, names)
        if name in names and array is not None:
            found[name] = array
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"no variable {', '.join(missing)} of real numbers")
    return [found[name] for name in names]


def _element(content: memoryview, order: Order) -> tuple[int, memoryview, memoryview]:
    """Return the kind and the value of the next element, and the bytes behind the element."""
    if len(content) < 8:
        raise ValueError("an element is cut")
    kind, size = struct.unpack_from(f"{order}2L", content)
    if kind >> 16:  # a small element: kind, size and value in 8 bytes
        kind, size, start, end = kind & 0xFFFF, kind >> 16, 4, 8
    else:
        start, end = 8, 8 + size + (0 if kind == PACKED else -size % 8)
    if start + size > len(content) or size > 4 and start == 4:
        raise ValueError(f"an element claims {size} bytes, and {len(content) - start} are there")
    return kind, content[start : start + size], content[end:]


def _variable(
    content: memoryview, order: Order, budget: Budget, names: tuple[str, ...] | None
) -> tuple[str, Values | None]:
    """Return the name and the values of a variable; None where the variable is not wanted."""
    budget.take(ARRAY, "a variable")
    kind, flags, rest = _element(content, order)
    if kind != UNSIGNED or len(flags) != 8:
        raise ValueError("a variable without flags")
    flag = struct.unpack_from(f"{order}L", flags)[0]
    kind, sizes, rest = _element(rest, order)
    if kind != SIGNED or len(sizes) % 4 or not 8 <= len(sizes) <= 4 * 32:
        raise ValueError("a variable without a shape")
    shape = struct.unpack(f"{order}{len(sizes) // 4}l", sizes)
    if min(shape) < 0:
        raise ValueError(f"a variable of the shape {shape}")
    _, raw, rest = _element(rest, order)
    name = bytes(raw).decode("ascii", "replace")
    if names is not None and name not in names:
        return name, None
    if flag & 0xFF == CELL and names is not None:
        cells: list[numpy.ndarray] = []
        while len(rest):
            kind, value, rest = _element(rest, order)
            array = _variable(value, order, budget, None)[1] if kind == MATRIX else None
            if not isinstance(array, numpy.ndarray):
                raise ValueError(f"`{name}` is a cell of something else than real numbers")
            cells.append(array)
        if len(cells) != math.prod(shape):
            raise ValueError(f"`{name}` claims {math.prod(shape)} cells and has {len(cells)}")
        return name, cells
    if flag & 0xFF not in NUMBERS or flag & COMPLEX:
        raise ValueError(f"`{name}` is no array of real numbers")
    kind, value, _ = _element(rest, order)
    if kind not in KINDS:
        raise ValueError(f"`{name}` holds values of the kind {kind}")
    dtype = numpy.dtype(KINDS[kind]).newbyteorder(order)
    if len(value) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"`{name}` claims the shape {shape} of {dtype} and has {len(value)} bytes")
    array = numpy.frombuffer(value, dtype).reshape(shape, order="F")
    budget.take(array.nbytes, f"`{name}`")
    return name, array.astype(dtype.newbyteorder("="))  # a copy: tensors need memory that may be written
