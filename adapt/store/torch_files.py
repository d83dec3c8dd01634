"""Torch files, looked through before torch reads the file.

``torch.load(weights_only=True)`` runs no code of the file, and still believes the sizes in the file: one byte of a
pickle may take 64 bytes of memory, and a tensor may claim more elements than the storage holds, and torch then makes
the storage larger. The look reads the pickle without torch and makes nothing but sizes.
"""

import io
import math
import mmap
import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from adapt.store.limits import Budget, open_zip

OPERATION = 100  # bytes of memory for one operation of a pickle, at most: a list, or a place in a dict
DEPTH = 1000  # brackets inside each other, at most: torch's own reader keeps a list for each
CLOSING = ("TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS", "ADDITEMS", "FROZENSET", "POP_MARK")
AXES = 64  # of a tensor, at most
LEGACY = 5  # pickles of a file that is no zip file: magic number, version, machine, content, keys of the storages
# bytes of an element
STORAGES = {
    "BFloat16Storage": 2, "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8, "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "IntStorage": 4,
    "LongStorage": 8, "ShortStorage": 2, "UntypedStorage": 1,
}  # fmt: skip
STRANGE = ("BINSTRING", "STRING", "UNICODE", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "LONG4", "NEWOBJ_EX", "PERSID")


class ForeignObject(ValueError):
    """A torch file asks for an object that is no dense tensor, number or text."""


def load_torch(path: str | Path) -> Any:
    """Return the content of a torch file, on the CPU; no code in the file runs.

    Raises:
        ForeignObject: something else than dense tensors, numbers, texts, and dicts and lists.
        TooLarge: the content needs more memory than the budget of the file.
        Exception: the file is cut or damaged; each kind of damage has another class.
    """
    with Path(path).open("rb") as file:
        if file.read(4) == b"PK\3\4":
            _look_at_zip(path)
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _look_at_legacy(content, Budget(path))
    return torch.load(path, map_location="cpu", weights_only=True)


def _look_at_zip(path: str | Path) -> None:
    with open_zip(path) as archive:
        found = [name for name in archive.names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ValueError(f"expected one file data.pkl inside, found {len(found)}")
        for name in archive.names:
            with archive.open(name) as (_, size):
                archive.budget.take(size, f"`{name}`")
        with archive.open(found[0]) as (file, size):
            _Look(archive.budget).through(io.BytesIO(file.read(size)))


def _look_at_legacy(content: mmap.mmap, budget: Budget) -> None:
    look = _Look(budget)
    for _ in range(LEGACY):
        look.through(content)
    claimed, there = sum(look.storages.values()), len(content) - content.tell()
    if claimed > there:
        raise EOFError(f"the storages claim {claimed} bytes, and {there} are there")


class _Kind(NamedTuple):
    """A class of storages, by the bytes of an element."""

    size: int


class _Storage(NamedTuple):
    """What a file says of a storage: bytes of an element, and the number of elements."""

    size: int
    elements: int


class _Inert:
    """Any harmless object; nothing of the object is kept."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Look:
    """A look through the pickles of one file: the budget, and the bytes that each storage claims."""

    def __init__(self, budget: Budget):
        self.budget, self.storages = budget, dict[str, int]()

    def through(self, file: Any) -> None:
        """Look through one pickle; the file then stands behind the pickle."""
        start, depth = file.tell(), 0
        for number, (operation, value, _) in enumerate(pickletools.genops(file)):
            self.budget.take(OPERATION + (5 * len(value) if isinstance(value, str | bytes) else 0), "the pickle")
            if operation.name == "LONG_BINPUT" and (value or 0) > number:  # the reader makes a list of all places
                raise ValueError(f"the pickle keeps an object at place {value}, and has {number} operations so far")
            depth += (operation.name == "MARK") - (operation.name in CLOSING)
            if depth > DEPTH:
                raise ValueError(f"the pickle has more than {DEPTH} open brackets")
            if operation.name in STRANGE:
                raise ValueError(f"the pickle has the operation {operation.name}, which torch does not write")
        end = file.tell()
        file.seek(start)
        _Sizes(file, self).load()
        file.seek(end)

    def storage(self, claim: Any) -> _Storage:
        """Return what the file says of a storage."""
        name, kind, key, _, count, *view = claim
        if name != "storage" or not isinstance(kind, _Kind) or not _all_whole([count]):
            raise ForeignObject("it refers to an object outside of the pickle that is no storage")
        self.storages[str(key)] = max(self.storages.get(str(key), 0), kind.size * count)
        return _Storage(kind.size, count if not view or view[0] is None else min(count, int(view[0][2])))

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> None:
        """Compare the sizes of a tensor with the storage."""
        if not isinstance(storage, _Storage) or not _all_whole([offset, *shape, *strides]):
            raise ValueError("a tensor has no storage, or sizes that are no whole numbers")
        size = next((value.itemsize for value in rest if isinstance(value, torch.dtype)), storage.size)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
        if len(shape) > AXES or (0 not in shape and last * size > storage.elements * storage.size):
            raise ValueError(f"a tensor of the shape {tuple(shape[:AXES])} is larger than its storage")
        self.budget.take(math.prod(shape) * size, f"a tensor of the shape {tuple(shape)}")


class _Sizes(pickle.Unpickler):
    """Reads a pickle with stand-ins for all objects: the stand-ins of tensors compare the sizes."""

    def __init__(self, file: Any, look: _Look):
        super().__init__(file, encoding="latin-1")
        self.look = look

    def persistent_load(self, pid: Any) -> _Storage:
        return self.look.storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        whole = f"{module}.{name}"
        if whole in PLAIN:
            return PLAIN[whole]
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return self.look.tensor
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
            return _Kind(STORAGES[name])
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return vars(torch)[name]
        if whole in {_name(known) for known in torch.serialization.get_safe_globals()}:
            return _Inert
        raise ForeignObject(f"it asks for `{whole}`, expected dense tensors, numbers and texts")


def _name(known: Any) -> str:
    """Return the name of a class that the user declared as safe."""
    return known[1] if isinstance(known, tuple) else f"{known.__module__}.{known.__qualname__}"


def _first(value: Any, *_: Any) -> Any:
    return value


def _call(function: Callable, _: Any, arguments: Sequence[Any], *__: Any) -> Any:
    return function(*arguments)


def _nothing(*_: Any) -> None:
    return None


def _all_whole(values: Sequence[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


# what torch allows, without the classes that take memory by a number (bytearray, Tensor, Storage, sparse, quantised)
PLAIN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "builtins.set": set,
    "builtins.complex": complex,
    "__builtin__.set": set,
    "__builtin__.complex": complex,
    "_codecs.encode": _nothing,
    "torch.Size": tuple,
    "torch.device": _Inert,
    "torch.serialization._get_layout": _nothing,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch._tensor._rebuild_from_type_v2": _call,
}
