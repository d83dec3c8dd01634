"""Weight files: read a file, and load the tensors into a module."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name.

    Args:
        path: ``.safetensors``, ``.npz``, or a torch file (``.pt``, ``.pth``, ``.th``, ``.bin``). Torch files are read
            with ``weights_only=True``: no code in the file runs. A nested ``state_dict`` or ``model`` entry is
            unpacked, and the prefix ``module.`` of ``DataParallel`` is removed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable file, or a file with something else than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a weight file at `{path}`, and there is none.")
    try:
        weights = _read(path)
    except (RuntimeError, ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, SafetensorError) as error:
        raise ValueError(
            f"`{path}` cannot be read as a {path.suffix} weight file; is it complete? ({error})"
        ) from error
    except Exception as error:  # weights_only=True refuses with a pickle.UnpicklingError
        raise ValueError(f"`{path}` holds more than tensors and was not opened further: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(weights.get(key), dict):
            weights = weights[key]
    tensors = {name.removeprefix("module."): value for name, value in weights.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"`{path}` holds no tensors by name; expected a state_dict.")
    return tensors


def _read(path: Path) -> dict:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        with numpy.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        raise ValueError(f"expected a dict of tensors, found {type(loaded).__name__}")
    return loaded


@dataclass(frozen=True)
class LoadReport:
    """Names of the `loaded` tensors, of tensors `missing` from the file, and of `unexpected` tensors in the file."""

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]

    def __str__(self) -> str:
        return f"{len(self.loaded)} tensors loaded, {len(self.missing)} missing, {len(self.unexpected)} not used"


def load_weights(module: nn.Module, weights: str | Path | dict[str, Tensor], *, strict: bool = True) -> LoadReport:
    """Copy weights into `module` by name: all weights, or none after an error.

    Args:
        module: receives the weights.
        weights: a file for :func:`read_weights`, or tensors by name.
        strict: every parameter and buffer of `module` must be in the file, and the file must hold nothing else.
            ``False`` loads the matching names; the :class:`LoadReport` lists the other names.

    Raises:
        ValueError: other names (strict), other shapes, or no name in common. `module` is then
            unchanged.
    """
    tensors = weights if isinstance(weights, dict) else read_weights(weights)
    own = module.state_dict()
    # older files lack the counter of BatchNorm, which inference does not read
    missing = [n for n in own if n not in tensors and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in tensors if n not in own]
    loaded = [n for n in own if n in tensors]
    wrong = [
        f"`{n}` {tuple(tensors[n].shape)} instead of {tuple(own[n].shape)}"
        for n in loaded
        if own[n].shape != tensors[n].shape
    ]
    if wrong:
        raise ValueError(f"weights of another shape: {_first_of(wrong)}; is it the same architecture?")
    if not loaded or (strict and (missing or unexpected)):
        raise ValueError(
            f"the weights do not fit the module: missing {_first_of(missing)}; not expected {_first_of(unexpected)}. "
            "Pass `strict=False` to load the names that match."
        )
    module.load_state_dict({n: tensors[n] for n in loaded}, strict=False)
    return LoadReport(loaded, missing, unexpected)


def _first_of(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
