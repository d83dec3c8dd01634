"""Any callable from raw items to numpy rows as a frozen encoder."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from losses.options import COUNT, check


def callable(function: Callable[[Any], Any], dim: int, *, name: str, fingerprint: str | Path) -> Encoder:
    """Return a frozen encoder that calls a function: ONNX, OpenCV, a classical feature, a web service.

    The features then take part in :func:`engine.features`, in probes and in rankings as the features of any encoder.

    Args:
        function: from the inputs of a batch to features. The function gets a numpy array with one row per item where
            the inputs are tensors, a list where the inputs are texts or other objects, and a dict of both where the
            inputs are a dict. The function returns ``(n, dim)`` numbers, or a dict of arrays with one row per item and
            of lists with one array per item, such as boxes of unequal number.
        dim: the feature size d. Of a dict of features the heads get the dict; the size is not checked.
        name: of the function, for messages and for the cache.
        fingerprint: stands for the function in the cache of :func:`engine.features`: a text that you change whenever
            the function returns other features (``"resnet50 v2"``), or the path of the file that holds the weights: the
            bytes of the file count. The code of the function does not count.

    Returns:
        An :class:`Encoder` without parameters and layers. The features are float32, on the device of the inputs, and
        have no gradient.

    Each rank calls the function on its rows. A call copies inputs from a GPU to the CPU and waits for the copy.

    Raises:
        FileNotFoundError: `fingerprint` is a path, and no file is there.
        TypeError: a `function` that cannot be called, or a `dim` that is no number.
        ValueError: a `dim` below 1, an empty `name` or `fingerprint`; later, features of another shape.

    >>> encoder = callable(lambda x: x.mean((1, 2)), 3, name="mean colour", fingerprint="1")
    >>> encoder(torch.ones(2, 4, 4, 3))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    if not isinstance(function, Callable):  # type: ignore[arg-type]  # the builtin has the name of this function
        raise TypeError(f"`function` must be a callable from items to numpy rows, got a {type(function).__name__}.")
    mark = fingerprint
    if isinstance(fingerprint, Path):
        with fingerprint.open("rb") as file:
            mark = hashlib.file_digest(file, "blake2b").hexdigest()
    if not (isinstance(name, str) and name and isinstance(mark, str) and mark):
        raise ValueError(
            f"`name` and `fingerprint` must be texts that are not empty, got {name!r} and {fingerprint!r}: change the "
            "fingerprint whenever the function returns other features."
        )
    check(COUNT, dim=dim)
    return Encoder(_Called(function, dim, name, mark), dim, source=name)


class _Hidden:
    """Keeps a function out of the fingerprint of a module, where an object without ``__dict__`` counts by its class.

    A compiled encoder calls the function as it is. ``torch.compiler.disable`` imports the compiler, which takes
    seconds: here, and not as a decorator in the file.
    """

    __slots__ = ("function", "rows_of")

    def __init__(self, function: Callable[[Any], Any]):
        self.function, self.rows_of = function, torch.compiler.disable(_rows_of)


class _Called(nn.Module):
    def __init__(self, function: Callable[[Any], Any], dim: int, name: str, mark: str):
        super().__init__()
        self.hidden, self.dim, self.name, self.mark = _Hidden(function), dim, name, mark

    def extra_repr(self) -> str:
        return f"{self.name!r}, fingerprint={self.mark!r}"

    def forward(self, inputs: Any) -> Any:
        return self.hidden.rows_of(self, inputs)

    def expect(self, right: bool, expected: str, found: str) -> None:
        if not right:
            raise ValueError(
                f"`function` of the encoder {self.name!r} must return {expected}, got {found}: one entry per item."
            )


@torch.no_grad()
def _rows_of(called: _Called, inputs: Any) -> Any:
    """Return what the function of a module makes of a batch, as tensors."""
    rows, device = _rows_and_device(inputs)
    out = called.hidden.function(_raw(inputs))
    if isinstance(out, Mapping):
        for key, part in out.items():
            called.expect(len(part) == rows, f"{rows} entries of {key!r}", f"{len(part)}")
        return {
            key: [_tensor(row, device) for row in part] if isinstance(part, list) else _tensor(part, device)
            for key, part in out.items()
        }
    shapes = {numpy.shape(row) for row in out}
    called.expect(
        shapes == {(called.dim,)} and len(out) == rows, f"({rows}, {called.dim})", f"{len(out)} rows {shapes}"
    )
    return _tensor(out, device)


def _rows_and_device(inputs: Any) -> tuple[int, torch.device]:
    """Return the number of items of a batch, and the device of the tensors, else the CPU."""
    while isinstance(inputs, Mapping):
        inputs = next(iter(inputs.values()))
    return len(inputs), inputs.device if isinstance(inputs, Tensor) else torch.device("cpu")


def _raw(inputs: Any) -> Any:
    """Return the inputs of a batch without tensors."""
    if isinstance(inputs, Tensor):
        wide = inputs.float() if inputs.dtype == torch.bfloat16 else inputs  # numpy does not know bfloat16
        return wide.detach().cpu().numpy()
    if isinstance(inputs, Mapping):
        return {key: _raw(part) for key, part in inputs.items()}
    return [_raw(item) if isinstance(item, Tensor) else item for item in inputs]


def _tensor(array: Any, device: torch.device) -> Tensor:
    return torch.from_numpy(numpy.array(array, "float32")).to(device)
