"""Plain descriptions of modules and of other objects: names and arguments as json, without weights and without code.

A description names a function or a class of this toolkit, of torch or of torchvision, and plain arguments. Another
process makes the object again from the description. A description never names other code.
"""

import functools
import importlib
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.encoders import Encoder, GlobalBatchNorm
from adapt.encoders.adapters import add_described_adapters, describe_adapters
from adapt.protocols import HasRecipe, TellsStreamsApart, offers

ROOMS = (
    "adapt.datasets", "adapt.encoders", "adapt.heads", "adapt.streams", "torch.nn", "torchvision.transforms",
    "timm.data.transforms",
)  # fmt: skip
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
SMALL = 64  # numbers in a tensor among the arguments, such as the mean of each channel


class NoRecipe(TypeError):
    """An object that no plain description tells."""


class Refused(NoRecipe):
    """A module that must be changed before it is described: a program would hide the cause."""


class Lost:
    """Stands in for a function that a folder names and does not hold: a function is code.

    Raises:
        NoRecipe: every call.
    """

    def __init__(self, name: str):
        self.name, self.__name__ = name, name.rsplit(".", 1)[-1]

    def __repr__(self) -> str:
        return f"Lost({self.name!r})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NoRecipe(
            f"the function `{self.name}` was not saved, because a function is code: give the object with the function "
            "again, `Model.load(folder, preparation=..., head=..., collate=...)`."
        )


def describe(value: Any) -> Any:
    """Return `value` as json. A function outside of this toolkit and of torch becomes its name: see :class:`Lost`.

    Raises:
        NoRecipe: an object that no description tells, such as a module of the user.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        parts = [describe(part) for part in value]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, Mapping):
        return {"dict": [[describe(k), describe(v)] for k, v in value.items()]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, Tensor) and value.numel() <= SMALL:
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, FunctionType):
        name = _name(value)
        return {"function": name} if _is_known(value) else {"lost": name}
    if isinstance(value, Lost):
        return {"lost": value.name}
    if isinstance(value, functools.partial):
        return {"partial": describe([value.func, list(value.args), value.keywords])}
    if isinstance(value, Enum) and _is_known(type(value)):
        return _call(type(value), {"value": value.value})
    return _describe_object(value)


def _describe_object(value: Any) -> Any:
    if offers(value, HasRecipe) and value.recipe is not None:
        name, arguments = value.recipe
        return {"make": name, "arguments": {k: describe(v) for k, v in arguments.items()}}
    if isinstance(value, Encoder):
        parts = {"body": value.body, "dim": value.dim, "layers": list(value.layers)}
        return _call(Encoder, parts)
    kind: type = type(value)
    if kind in CONTAINERS:
        children = {name: describe(child) for name, child in value.named_children()}
        return {"container": kind.__name__, "children": children}
    if isinstance(value, nn.Module) or _is_known(kind):
        if not _is_known(kind) or kind.__module__.startswith("adapt.") or any(True for _ in _children(value)):
            raise NoRecipe(f"a {kind.__module__}.{kind.__qualname__} has no plain description")
        return _call(kind, _arguments(value))
    if callable(value):
        return {"lost": _name(kind)}
    raise NoRecipe(f"a {kind.__module__}.{kind.__qualname__} has no plain description")


def _children(value: Any) -> Any:
    return value.children() if isinstance(value, nn.Module) else ()


def _arguments(value: Any) -> dict[str, Any]:
    """Return the arguments of the class of `value`, read from attributes with the same names, as torch keeps them."""
    if _name(type(value)) == "torchvision.transforms._presets.ImageClassification":  # keeps both sizes in lists
        sizes = {"crop_size": value.crop_size[0], "resize_size": value.resize_size[0]}
        return {**sizes, **{k: getattr(value, k) for k in ("mean", "std", "interpolation", "antialias")}}
    found = {}
    for name, parameter in inspect.signature(type(value).__init__).parameters.items():
        plain = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if name in ("self", "device") or name.startswith("_") or not plain:
            continue
        if name == "dtype" and isinstance(value, nn.Module) and "dtype" not in vars(value):
            continue
        if not hasattr(value, name):  # the question itself: whether torch keeps the argument
            raise NoRecipe(f"a {type(value).__name__} does not keep its argument `{name}`")
        kept = getattr(value, name)
        found[name] = kept is not None if name == "bias" else kept
    return found


def make(plain: Any) -> Any:
    """Return the object of a description, with random weights.

    Raises:
        NoRecipe: a name outside of this toolkit, torch and torchvision.
    """
    if isinstance(plain, list):
        return [make(part) for part in plain]
    if not isinstance(plain, dict):
        return plain
    if "tuple" in plain:
        return tuple(map(make, plain["tuple"]))
    if "dict" in plain:
        return {make(k): make(v) for k, v in plain["dict"]}
    if "tensor" in plain:
        return torch.tensor(plain["tensor"], dtype=_dtype(plain["dtype"]))
    if "dtype" in plain:
        return _dtype(plain["dtype"])
    if "lost" in plain:
        return Lost(plain["lost"])
    if "function" in plain:
        return _found(plain["function"])
    if "partial" in plain:
        function, args, keywords = make(plain["partial"])
        return functools.partial(function, *args, **keywords)
    if "container" in plain:
        return _container(plain["container"], {name: make(child) for name, child in plain["children"].items()})
    if "make" in plain:
        return _found(plain["make"])(**{k: make(v) for k, v in plain["arguments"].items()})
    raise NoRecipe(f"a description with {sorted(plain)} is of another version of this toolkit.")


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)  # torch has no table of its dtypes
    if not isinstance(found, torch.dtype):
        raise NoRecipe(f"`{name}` is no dtype of torch.")
    return found


def _container(kind: str, children: dict[str, nn.Module]) -> nn.Module:
    if kind == "Sequential":
        return nn.Sequential(OrderedDict(children))
    return nn.ModuleDict(children) if kind == "ModuleDict" else nn.ModuleList(children.values())


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Return the architecture of an encoder or of a head as json: with adapters, frozen parameters and layers in
    evaluation mode, without weights.

    Raises:
        NoRecipe: a part that no description tells.
        Refused: an encoder that treats streams differently; merged adapters.
    """
    if offers(module, TellsStreamsApart):
        raise Refused(
            "this encoder treats streams differently, and a model has one way to compute a row: for adapters of tasks "
            "save the model of `encoders.single_task(encoder, stream)`"
        )
    try:
        adapters = describe_adapters(module)
    except ValueError as error:
        raise Refused(str(error).rstrip(".")) from error
    found = {
        "base": describe(module),
        "adapters": adapters,
        "frozen": [name for name, p in module.named_parameters() if not p.requires_grad],
        "structure": structure(module),
    }
    if isinstance(module, Encoder):
        found |= {
            "kept_in_eval": list(module.kept_in_eval), "source": module.source, "licence": module.licence,
            "preprocess": describe_or_lose(module.preprocess),
        }  # fmt: skip
    return found


def make_module(plain: Mapping[str, Any]) -> nn.Module:
    """Return the module of :func:`describe_module`, with random weights, in evaluation mode.

    Raises:
        NoRecipe: the description makes another structure than the structure of the described module.
    """
    with torch.random.fork_rng(devices=[]):  # random weights, which the caller replaces
        module = make(plain["base"])
        add_described_adapters(module, plain["adapters"])
    if isinstance(module, Encoder):
        module.keep_in_eval(plain["kept_in_eval"])
        module.source, module.licence = plain["source"], plain["licence"]
        module.preprocess = make(plain["preprocess"])
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in plain["frozen"] and parameter.is_floating_point())
    if difference := _first_difference(plain["structure"], structure(module)):
        raise NoRecipe(f"the description makes another structure: {difference}")
    return module.eval()


def describe_or_lose(value: Any) -> Any:
    """Return `value` as json; of an object that no description tells, the name alone."""
    try:
        return describe(value)
    except NoRecipe:
        return {"lost": _name(type(value))}


def structure(module: nn.Module) -> list[str]:
    """Return a line for each part of a module and for each of its tensors, to tell two structures apart."""
    lines = []
    for name, part in module.named_modules():
        hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
        lines.append(f"{name}: {_shown(part)} {sorted(_hook_name(hook) for hook in hooks)}")
    return lines + sorted(f"{name}: {tuple(tensor.shape)}" for name, tensor in module.state_dict().items())


def _shown(part: nn.Module) -> str:
    if isinstance(part, _BatchNorm | GlobalBatchNorm):  # the same function in evaluation
        return f"BatchNorm(eps={part.eps}, momentum={part.momentum})"
    return type(part).__name__ if isinstance(part, Encoder) else f"{type(part).__name__}({part.extra_repr()})"


def _hook_name(hook: Any) -> str:
    return _name(hook) if isinstance(hook, FunctionType) else _name(type(hook))


def _first_difference(there: list[str], here: list[str]) -> str:
    if there == here:
        return ""
    pairs = zip([*there, *[""] * len(here)], [*here, *[""] * len(there)], strict=True)
    expected, found = next(pair for pair in pairs if pair[0] != pair[1])
    return f"expected `{expected.strip()}`, got `{found.strip()}`"


def _call(kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"make": _name(kind), "arguments": {k: describe(v) for k, v in arguments.items()}}


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _is_known(value: Any) -> bool:
    """Whether a function or a class lies in a room that a description may name, under its own name."""
    module = getattr(value, "__module__", None) or ""  # some builtins have no module
    return any(module == room or module.startswith(f"{room}.") for room in ROOMS) and "<" not in value.__qualname__


def _found(name: str) -> Any:
    """Return the function or class of a name, after a look at the room it lives in.

    Raises:
        NoRecipe: another room, or nothing of this name.
    """
    parts = name.split(".")
    if not any(name.startswith(f"{room}.") for room in ROOMS):
        raise NoRecipe(f"`{name}` lies outside of {', '.join(ROOMS)}: a description may not name it.")
    try:
        found: Any = importlib.import_module(".".join(parts[:-1]))
        found = getattr(found, parts[-1])
    except (ImportError, AttributeError) as error:
        raise NoRecipe(f"`{name}` cannot be imported here ({error}): install what the model was made with.") from error
    # a name inside of a room may lead out of the room: `adapt.heads.score.torch`
    if not _is_known(found):
        raise NoRecipe(f"`{name}` lies outside of {', '.join(ROOMS)}: a description may not name it.")
    return found
