"""What a term, a stream or a schedule is, in one line: for reprs, TensorBoard and the comparison of a resumed run."""

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from torch import Tensor, nn

from adapt.protocols import offers

P = ParamSpec("P")
R = TypeVar("R")


class MadeBy(Protocol):
    """An object that keeps the call that made it, as text: ``"ramp(1.0, gamma=10.0)"``."""

    made_by: str


class Described(Generic[P, R]):
    """A function, say of the progress, that shows the call that made it."""

    def __init__(self, function: Callable[P, R], made_by: str):
        self.function, self.made_by = function, made_by

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return self.made_by


def call_text(name: str, **settings: Any) -> str:
    """Return the call of `name` with `settings` as text.

    >>> call_text("dwa", window=100, temperature=2.0)
    'dwa(window=100, temperature=2.0)'
    """
    return f"{name}({', '.join(f'{k}={describe(v)}' for k, v in settings.items())})"


def describe(value: Any) -> str:
    """Return one line about `value`: numbers and texts as they are, modules with their settings, functions by name."""
    if isinstance(value, Tensor):
        return f"tensor{tuple(value.shape)}"
    if offers(value, MadeBy):
        return value.made_by
    if isinstance(value, nn.Module):
        settings = {k: v for k, v in vars(value).items() if not k.startswith("_") and k != "training"}
        parts = {k: type(m).__name__ for k, m in value.named_children()}
        shown = [f"{k}={describe(v)}" for k, v in settings.items()] + [f"{k}={v}" for k, v in parts.items()]
        return f"{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, functools.partial):
        given = [*map(describe, value.args), *(f"{k}={describe(v)}" for k, v in value.keywords.items())]
        return f"{describe(value.func)}({', '.join(given)})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {describe(v)}' for k, v in value.items())}}}"
    if isinstance(value, bool | int | float | str | type(None)):
        return repr(value)
    # an object without a name of its own would show its address, which no second run has
    return getattr(value, "__qualname__", type(value).__qualname__)
