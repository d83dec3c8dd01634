"""Terms, streams and schedules as a line of text: for reprs, for TensorBoard and for the comparison of a resumed
run.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from types import MethodType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import numpy
from torch import Tensor, nn

from adapt.protocols import offers

P = ParamSpec("P")
R = TypeVar("R")


class MadeBy(Protocol):
    """An object with the text of the call behind the object: ``"ramp(1.0, gamma=10.0)"``."""

    made_by: str


class Described(Generic[P, R]):
    """A function, say of the progress, with the text of the call behind the function as repr."""

    def __init__(self, function: Callable[P, R], made_by: str):
        self.function, self.made_by = function, made_by

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return self.made_by


def plain(value: Any) -> Any:
    """Return a tree with numbers of Python in place of numbers of numpy: JSON and a checkpoint can hold the tree.

    >>> plain({"lr": numpy.float64(0.5), "betas": (numpy.float32(0.5), 1)})
    {'lr': 0.5, 'betas': (0.5, 1)}
    """
    if isinstance(value, numpy.generic):
        return value.item()
    if type(value) is dict:
        return {plain(k): plain(v) for k, v in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def call_text(name: str, **settings: Any) -> str:
    """Return the call of `name` with `settings` as text.

    >>> call_text("dwa", window=100, temperature=2.0)
    'dwa(window=100, temperature=2.0)'
    """
    return f"{name}({_listed((), settings)})"


def describe(value: Any) -> str:
    """Return a line about `value`: numbers and texts unchanged, modules with settings, functions by name."""
    value = plain(value)
    if isinstance(value, Tensor):
        return f"tensor{tuple(value.shape)}"
    if offers(value, MadeBy):
        return value.made_by
    if isinstance(value, nn.Module):
        return _module(value)
    if isinstance(value, functools.partial):
        return f"{describe(value.func)}({_listed(value.args, value.keywords)})"
    if isinstance(value, list | tuple):
        return f"[{_listed(value, {})}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {describe(v)}' for k, v in value.items())}}}"
    if isinstance(value, MethodType):
        return f"{describe(value.__self__)}.{value.__name__}"
    name = getattr(value, "__qualname__", None)  # classes, and functions of Python, C and numpy, share no base class
    if name is not None:
        return name
    # the repr that python gives to any object shows an address, which no second run has
    return type(value).__qualname__ if type(value).__repr__ is object.__repr__ else repr(value)


def in_any_process(text: str) -> str:
    """Return a text without addresses, and with sets and lists of names sorted.

    The order of a set, and of a list that was made of a set, differs from process to process.

    >>> in_any_process("of={'b', 'a'}, to=['d', 'c'], by=f at 0x7f")
    "of={'a', 'b'}, to=['c', 'd'], by=f"
    """
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return re.sub(r"(\{)([^{}]*)(\})|(\[)('[^][]*')(\])", _sorted, text)


def _sorted(found: re.Match[str]) -> str:
    first, inside, last = (part for part in found.groups() if part is not None)
    return first + ", ".join(sorted(inside.split(", "))) + last


def _listed(values: Iterable[Any], named: Mapping[str, Any]) -> str:
    return ", ".join([*map(_part, values), *(f"{k}={_part(v)}" for k, v in named.items())])


def _module(module: nn.Module) -> str:
    """Return the class with its settings, then its submodules."""
    settings = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
    return f"{type(module).__name__}({_listed((), settings | dict(module.named_children()))})"


def _are_numbers(value: Any) -> bool:
    several = isinstance(value, tuple) and all(isinstance(v, int | float) for v in value)  # such as class weights
    return isinstance(value, int | float) or several


def _part(value: Any) -> str:
    """Return one line about a value inside of another value: of a module, the class and the numbers alone."""
    if isinstance(value, nn.ModuleList):
        return describe(list(value))
    if not isinstance(value, nn.Module) or offers(value, MadeBy):
        return describe(value)
    numbers = {k: v for k, v in vars(value).items() if _are_numbers(v) and k != "training" and k[0] != "_"}
    return f"{type(value).__name__}({_listed((), numbers)})"
