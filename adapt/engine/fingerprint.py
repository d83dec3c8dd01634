"""The fingerprint of an encoder and of data: another fingerprint wherever other features may come out."""

import functools
import hashlib
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.streams import Batch

TORCH = {*vars(nn.Module()), "_compiled_call_impl"}  # what every module has: its mode, its dictionaries
HOOKS = ("_forward_pre_hooks", "_forward_hooks")  # adapters are added so
PLAIN = (int, float, complex, str, bytes, type(None), range, slice, torch.dtype, torch.device)


def fingerprint(encoder: nn.Module, batches: Iterable[Batch], *settings: Any) -> str:
    """Return 32 hexadecimal digits that depend on the encoder, on the batches and on the settings.

    The encoder's weights and buffers count, saved or not; the encoder's structure and settings; the code of the
    modules' methods and forward hooks, without line numbers and names of variables. Functions that this code calls do
    not count. Of an object of another kind the name of its class counts, and the tensors, arrays and modules in its
    attributes, such as the packed weights of a quantised layer.

    Args:
        encoder: any module.
        batches: inputs and labels count, the index does not. Empty where a setting stands for the data.
        settings: values whose ``repr`` is the same in every process.
    """
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    _take(digest, encoder, {})
    for batch in batches:
        _take(digest, [batch.inputs, batch.labels], {})
    return digest.hexdigest()


def _take(digest: Any, value: Any, seen: dict[int, int]) -> None:
    """Add a value to the digest.

    Tensors and arrays count by their bytes, modules and functions by their code and content, plain values by
    their ``repr``, dicts, sequences and sets part by part, any other object by the name of the class and by the
    tensors inside. `seen` numbers the added modules, classes, functions and objects.
    """
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufc":
        value = torch.from_numpy(numpy.ascontiguousarray(value))
    if isinstance(value, Tensor):
        digest.update(repr((value.shape, value.dtype)).encode())
        value = value.dequantize() if value.is_quantized else value
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(repr(key).encode())
            _take(digest, part, seen)
    elif isinstance(value, tuple | list):
        digest.update(str(len(value)).encode())
        for part in value:
            _take(digest, part, seen)
    elif isinstance(value, set | frozenset):
        _take(digest, sorted(map(repr, value)), seen)
    elif isinstance(value, torch.ScriptObject):  # the packed weights of a quantised layer
        _take(digest, value.__getstate__(), seen)  # type: ignore[attr-defined]  # of classes made in C++
    elif isinstance(value, functools.partial):
        _take(digest, [value.func, value.args, value.keywords], seen)
    else:
        _take_code(digest, value, seen)


def _take_code(digest: Any, value: Any, seen: dict[int, int]) -> None:
    """Add a module, a class or a function with its content, or any other value without parts."""
    name = getattr(value, "__qualname__", None)  # functions of torch, of C and of Python share no class
    if isinstance(value, PLAIN):
        digest.update(repr(value).encode())
        return
    digest.update(repr((name or type(value).__qualname__, seen.get(id(value)))).encode())
    if id(value) not in seen:
        seen[id(value)] = len(seen)
        parts = _module(value) if isinstance(value, nn.Module) else _object(value) if name is None else _function(value)
        _take(digest, parts, seen)


def _object(value: Any) -> list[Any]:
    """Return the attributes of an object that may hold weights; its plain settings do not count."""
    kept = vars(value) if hasattr(value, "__dict__") else {}  # objects with slots have none
    return [[name, part] for name, part in kept.items() if not isinstance(part, PLAIN)]


def _module(module: nn.Module) -> list[Any]:
    """Return the parts of a module on which the output depends."""
    if isinstance(module, torch.jit.ScriptModule):  # weights and code lie in C++; `code` is absent without a `forward`
        return [module.state_dict(), [getattr(part, "code", None) for part in module.modules()]]
    classes = [c for c in type(module).__mro__ if c not in nn.Module.__mro__]
    settings = {name: value for name, value in vars(module).items() if name not in TORCH}
    hooks = [
        list(vars(module)[name].values()) for name in HOOKS
    ]  # not their numbers, which torch counts over all modules
    parts = [vars(module)[name] for name in ("_parameters", "_buffers", "_modules")]
    return [classes, settings, module.extra_repr(), hooks, parts]


def _function(value: Any) -> list[Any]:
    """Return the code and the captured values of a function, or the methods of a module's class."""
    if isinstance(value, type):
        return [f for f in map(_plain_function, vars(value).values()) if f] if issubclass(value, nn.Module) else []
    owner = getattr(value, "__self__", None)  # bound methods of Python and of C share no class either
    function = value.__func__ if isinstance(value, types.MethodType) else value
    if not isinstance(function, types.FunctionType):
        return [None, None, [], owner]
    cells = [c.cell_contents for c in function.__closure__ or () if c != types.CellType()]
    return [_code(function.__code__), function.__defaults__, function.__kwdefaults__, cells, owner]


def _plain_function(attribute: Any) -> types.FunctionType | None:
    """Return the function behind an attribute of a class, or None where the attribute is no method."""
    if isinstance(attribute, staticmethod | classmethod):
        attribute = attribute.__func__
    elif isinstance(attribute, property):
        attribute = attribute.fget
    return attribute if isinstance(attribute, types.FunctionType) else None


def _code(code: types.CodeType) -> list[Any]:
    """Return the instructions, without line numbers and names of variables; sets of constants have no order."""
    constants = [c for c in code.co_consts if not isinstance(c, frozenset)]
    parts = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in constants]
    return [code.co_code, code.co_names, parts]
