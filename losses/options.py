"""Checks of options: a rule says which values an option may have, and a check says expected, found and remedy."""

import math
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number of Python or numpy, and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool) and -math.inf < float(value) < math.inf


def is_whole(value: Any, least: int) -> bool:
    """Whether `value` is a whole number of Python or numpy of at least `least`, and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


Rule = tuple[str, Callable[[Any], bool]]  # the allowed values in words; whether a value is allowed
TRUTH: Rule = "True or False", lambda v: isinstance(v, bool)
NUMBER: Rule = "a finite number", is_number
AT_LEAST_0: Rule = "a number of at least 0", lambda v: is_number(v) and v >= 0
AT_LEAST_1: Rule = "a number of at least 1", lambda v: is_number(v) and v >= 1
POSITIVE: Rule = "a positive number", lambda v: is_number(v) and v > 0
SHARE: Rule = "in [0, 1]", lambda v: is_number(v) and 0 <= v <= 1
ABOVE_0: Rule = "in (0, 1]", lambda v: is_number(v) and 0 < v <= 1
BELOW_1: Rule = "in [0, 1)", lambda v: is_number(v) and 0 <= v < 1
BETWEEN: Rule = "between 0 and 1, both excluded", lambda v: is_number(v) and 0 < v < 1
WHOLE: Rule = "a whole number", lambda v: isinstance(v, Integral) and not isinstance(v, bool)


def whole(least: int) -> Rule:
    """Return the rule of a whole number of at least `least`."""
    return f"a whole number of at least {least}", lambda v: is_whole(v, least)


COUNT, FROM_0 = whole(1), whole(0)


def or_none(rule: Rule) -> Rule:
    """Return the rule that allows None too."""
    return f"{rule[0]}, or None", lambda v: v is None or rule[1](v)


def each(rule: Rule) -> Rule:
    """Return the rule of a list with at least one value, where `rule` allows each value."""
    allowed = lambda v: isinstance(v, Collection) and not isinstance(v, str) and len(v) > 0 and all(map(rule[1], v))  # noqa: E731
    return f"a list with at least one value, each {rule[0]}", allowed


def check(rule: Rule, remedy: str = "the docstring names the usual value", /, **options: Any) -> None:
    """Raise a ValueError unless the rule allows every option.

    >>> check(COUNT, steps=5, folds=2.5)
    Traceback (most recent call last):
    ValueError: `folds` must be a whole number of at least 1, got 2.5: the docstring names the usual value.
    """
    expected, allowed = rule
    for name, value in options.items():
        if not allowed(value):
            raise ValueError(f"`{name}` must be {expected}, got {value!r}: {remedy}.")
