"""Checks of options, when a method is made. An option has one name and one rule in all methods of this room."""

from typing import Any

from adapt.engine.schedule import WEIGHT
from losses.options import ABOVE_0, AT_LEAST_0, COUNT, FROM_0, POSITIVE, SHARE, TRUTH, Rule, check

TEXT: Rule = "a name", lambda v: isinstance(v, str) and v != ""
RULES: dict[str, Rule] = {
    **dict.fromkeys(("name", "target"), TEXT),
    **dict.fromkeys(("weight", "labels_weight"), WEIGHT),
    **dict.fromkeys(("neighbours", "expanded", "epochs", "batch_size", "steps"), COUNT),
    **dict.fromkeys(("rounds", "seed"), FROM_0),
    **dict.fromkeys(("first", "last"), ABOVE_0),
    **dict.fromkeys(("rest", "more"), SHARE),
    "decay": AT_LEAST_0,
    "rate": POSITIVE,
    "guard": TRUTH,
}


def check_options(**options: Any) -> None:
    """Raise a ValueError unless every option has a value that the rule of its name allows.

    >>> check_options(neighbours=5, rest=2.0)
    Traceback (most recent call last):
    ValueError: `rest` must be in [0, 1], got 2.0: the docstring of the method names the usual value.
    """
    for name, value in options.items():
        check(RULES[name], "the docstring of the method names the usual value", **{name: value})
