"""Weight files: read a file, and load the tensors into a module."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from adapt import store
from adapt.encoders._checkpoint import fitted, read_checkpoint


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name.

    Args:
        path: ``.safetensors``, ``.npz``, or a torch file (``.pt``, ``.pth``, ``.th``, ``.bin``). Torch files are read
            with ``weights_only=True``: no code in the file runs. A nested ``state_dict`` or ``model`` entry is
            unpacked, and the prefix ``module.`` of ``DataParallel`` is removed.

    The content takes at most 4 times the memory of the file and 64 MiB; a file that claims more is refused.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable file, a file that claims more than the file holds, a file with something else than
            dense tensors, two tensors of one name (``weight`` beside ``module.weight``).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a weight file at `{path}`, and there is none.")
    try:
        weights = _read(path)
    except (store.ForeignObject, pickle.UnpicklingError) as error:
        raise ValueError(f"`{path}` holds more than tensors and was not opened further: {error}.") from error
    except (MemoryError, PermissionError):  # not the fault of the file
        raise
    except Exception as error:  # each kind of damage has another class
        raise ValueError(
            f"`{path}` cannot be read as a {path.suffix} weight file; is it complete? ({error})"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(weights.get(key), dict):
            weights = weights[key]
    tensors: dict[str, Tensor] = {}
    for whole, value in weights.items():
        if not isinstance(value, Tensor):
            continue
        name = str(whole).removeprefix("module.")
        if name in tensors:
            raise ValueError(f"`{path}` holds `{name}` and `module.{name}`: expected one of the two, remove the other.")
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"`{path}` must hold dense tensors, found `{name}` of {value.dtype} and {value.layout}.")
        tensors[name] = value
    if not tensors:
        raise ValueError(f"`{path}` holds no tensors by name; expected a state_dict.")
    return tensors


def _read(path: Path) -> dict:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in store.arrays(path).items()}
    loaded = store.load_torch(path)
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


def load_weights(
    module: nn.Module,
    weights: str | Path | dict[str, Tensor],
    *,
    strict: bool = True,
    rename: Mapping[str, str] | None = None,
) -> LoadReport:
    """Copy weights into `module` by name: all weights, or none after an error.

    Args:
        module: receives the weights.
        weights: a file for :func:`read_weights`, tensors by name, or the folder of a checkpoint of a trainer: then the
            weights of the encoder, averaged where the run kept an average.
        strict: every parameter and buffer of `module` must be in the file, and the file must hold nothing else.
            ``False`` loads the matching names; the :class:`LoadReport` lists the other names.
        rename: from beginnings of names in the file to beginnings of names in `module`: ``{"backbone.": ""}`` takes
            ``backbone.fc.weight`` for ``fc.weight``. The first beginning that fits counts.

    A floating-point weight may have another width in the file: the weight is rounded to the width in `module`.

    Raises:
        ValueError: other names (strict), other shapes, no name in common, or two names that `rename` makes one; values
            that are not finite; integers, booleans or complex numbers in place of floating-point numbers, and the
            reverse. `module` is then unchanged.
    """
    if isinstance(weights, dict):
        return copy_weights(module, renamed(weights, rename), strict=strict)
    where = f"`{weights}`: "
    if Path(weights).is_dir():
        tensors = fitted(renamed(read_checkpoint(Path(weights)), rename), module)
    else:
        tensors = renamed(read_weights(weights), rename)
    return copy_weights(module, tensors, where, strict=strict)


def renamed(tensors: dict[str, Tensor], rename: Mapping[str, str] | None) -> dict[str, Tensor]:
    """Return tensors under the names that the beginnings in `rename` give them."""
    if not rename:
        return tensors
    if unused := [old for old in rename if not any(name.startswith(old) for name in tensors)]:
        raise ValueError(
            f"`rename` must hold beginnings of names in the weights, got `{unused[0]}`; the names are "
            f"{_first_of(list(tensors))}."
        )
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        old = next((old for old in rename if name.startswith(old)), "")
        new = rename[old] + name.removeprefix(old) if old in rename else name
        if new in found:
            raise ValueError(f"`rename` gives two tensors the name `{new}`: give each a name of its own.")
        found[new] = tensor
    return found


def copy_weights(
    module: nn.Module, tensors: Mapping[str, Tensor], where: str = "", *, strict: bool = True
) -> LoadReport:
    """Copy tensors as :func:`load_weights` does, with the file of the tensors, `where`, in front of each message."""
    own = module.state_dict()
    # older files lack the counter of BatchNorm, which inference does not read
    missing = [n for n in own if n not in tensors and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in tensors if n not in own]
    loaded = [n for n in own if n in tensors]
    check_values(own, {n: tensors[n] for n in loaded}, where)
    if not loaded or (strict and (missing or unexpected)):
        raise ValueError(
            f"{where}the weights do not fit the module: missing {_first_of(missing)}; not expected "
            f"{_first_of(unexpected)}. {_remedy(own, tensors, loaded)}"
        )
    module.load_state_dict({n: tensors[n] for n in loaded}, strict=False)
    return LoadReport(loaded, missing, unexpected)


def _remedy(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], loaded: list[str]) -> str:
    """Return the line that loads weights of other names: the beginning that must go or come, where there is one."""
    if loaded:
        return "Pass `strict=False` to load the names that match."
    first, names = next(iter(own), ""), list(tensors)
    for name in names if first else ():
        longer, shorter = (name, first) if name.endswith(first) else (first, name)
        part = longer.removesuffix(shorter)  # the beginning of one name, where the other is its end
        old, new = (part, "") if longer == name else ("", part)
        if longer.endswith(shorter) and all(n.startswith(old) for n in names):
            return (
                "No name is the same; the names fit after "
                f"`encoders.load_weights(module, weights, rename={{{old!r}: {new!r}}})`."
            )
    return (
        "No name is the same: is it the same architecture? Where it is, give the beginnings of names, "
        '`encoders.load_weights(module, weights, rename={"old.": "new."})`.'
    )


def linear_of(tensors: Mapping[str, Tensor], features: int, where: str = "") -> nn.Linear:
    """Return the linear layer with the tensors `weight` and `bias`, for any number of classes.

    Raises:
        ValueError: no such tensors, or another number of features.
    """
    weight = tensors.get("weight", torch.empty(0))
    fits = weight.ndim == 2 and weight.shape[1] == features
    layer = nn.Linear(features, len(weight) if fits else 1)  # a shape that does not fit is named below
    copy_weights(layer, tensors, where)
    return layer


def check_values(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str = "") -> None:
    """Raise a ValueError unless `tensors` have the shapes and kinds of the tensors `own`, and finite values."""
    wrong = [
        f"`{n}` {tuple(value.shape)} instead of {tuple(own[n].shape)}"
        for n, value in tensors.items()
        if own[n].shape != value.shape
    ]
    if wrong:
        raise ValueError(f"{where}weights of another shape: {_first_of(wrong)}; is it the same architecture?")
    wrong = [f"`{n}` {v.dtype} instead of {own[n].dtype}" for n, v in tensors.items() if not _same_kind(v, own[n])]
    if wrong:
        raise ValueError(
            f"{where}weights of another kind: {_first_of(wrong)}; convert them where the values are right."
        )
    wrong = [f"`{n}`" for n, value in tensors.items() if not _finite(value, own[n])]
    if wrong:
        raise ValueError(
            f"{where}weights that are not finite: {_first_of(wrong)}; take a file from before the failure."
        )


def _same_kind(value: Tensor, own: Tensor) -> bool:
    """Return whether copying keeps the values up to rounding."""
    if own.dtype == torch.bool and value.dtype == torch.uint8:  # masks of torch before 1.2
        return True
    return (value.is_floating_point(), value.is_complex(), value.dtype == torch.bool) == (
        own.is_floating_point(),
        own.is_complex(),
        own.dtype == torch.bool,
    )


def _finite(value: Tensor, own: Tensor) -> bool:
    """Return whether a tensor is finite in the width of `own`, or infinite where `own` is: a mask of attention."""
    if not value.is_floating_point() and not value.is_complex():
        return True
    narrow = value.to(own.dtype)
    finite = narrow.float().isfinite() if narrow.element_size() == 1 else narrow.isfinite()
    return bool(finite.all()) or bool((finite | (narrow == own.to(narrow.device))).all())


def _first_of(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
