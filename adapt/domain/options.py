"""Checks of options, when a method is made. An option has one name and one rule in all methods."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from adapt.engine.description import Described
from adapt.engine.schedule import WEIGHT, Schedule, at
from adapt.protocols import HasDim, expect
from losses.options import BELOW_1, BETWEEN, COUNT, FROM_0, POSITIVE, SHARE, TRUTH, Rule, check, or_none

TEXT: Rule = "a name", lambda v: isinstance(v, str) and v != ""
LEVEL: Rule = (
    'None, "pooled", "places" or a function of the features',
    lambda v: v is None or callable(v) or (isinstance(v, str) and v in ("pooled", "places")),
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("name", "source", "target", "on"), TEXT),
    **dict.fromkeys(("weight", "strength", "penalty", "adversarial", "smooth_source", "smooth_target"), WEIGHT),
    **dict.fromkeys(("hidden", "repeat", "neighbours", "directions", "count", "rows", "batch_size"), COUNT),
    **dict.fromkeys(("temperature", "radius", "step", "step_size", "alpha"), POSITIVE),
    "level": LEVEL,
    "margin": POSITIVE,
    "patch": COUNT,
    "share": BETWEEN,
    "threshold": SHARE,
    "unsure": SHARE,
    "momentum": BELOW_1,
    "boundary": BETWEEN,
    "gamma": (f"{POSITIVE[0]}, or None for the hard maximum", or_none(POSITIVE)[1]),
    "randomized": or_none(COUNT),
    "seed": FROM_0,
    "mix": ('"inputs" or "features"', lambda v: isinstance(v, str) and v in ("inputs", "features")),
    "discrepancy": ("a function of the logits of two heads", callable),
    **dict.fromkeys(("entropy", "unbiased"), TRUTH),
}


def check_options(**options: Any) -> None:
    """Raise a ValueError unless every option has a value that the rule of its name allows.

    >>> check_options(threshold=0.95, hidden=0)
    Traceback (most recent call last):
    ValueError: `hidden` must be a whole number of at least 1, got 0: the docstring of the method names the usual value.
    """
    for name, value in options.items():
        check(RULES[name], "the docstring of the method names the usual value", **{name: value})


def loss_options(
    loss: Callable[..., Tensor], options: Mapping[str, Any], *, size: int = 8, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return `options` of a loss with the defaults filled in, after a trial: the loss computes a small example.

    The loss checks the values in the trial, so every rule stays in one place.

    Args:
        loss: a function of :mod:`losses` whose positional arguments have the names of the example.
        options: keyword arguments for `loss`.
        size: feature size of the example.
        given: keyword arguments that the method gives to `loss` in every step.

    Raises:
        TypeError: an option with a name that `loss` does not have.
        ValueError: a value that `loss` does not allow.
        ImportError: an optional package that the options ask for.
    """
    given = dict(given or {})
    parameters = inspect.signature(loss).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in given}
    for name in options:
        if name not in defaults:
            raise TypeError(
                f"`{name}` is no option of losses.{loss.__name__}: take {', '.join(f'`{k}`' for k in defaults)}."
            )
    x = torch.arange(3 * size, dtype=torch.float32, device="cpu").view(3, size).sin()
    labels, logits = torch.tensor([0, 1, 0], device="cpu"), x[:, :2]
    layers = loss.__name__ == "joint_mmd"  # takes one tensor for each layer
    example: dict[str, Any] = {
        "source": [x, logits.softmax(1)] if layers else x,
        "target": [x.cos(), logits.cos().softmax(1)] if layers else x.cos(),
        "source_labels": labels,
        "target_logits": logits.cos(),
    }
    positional = [example[p.name] for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    filled = {name: value for name, value in {**defaults, **options}.items() if value is not None}
    with torch.no_grad():
        loss(*positional, **{**given, **filled, "global_batch": False})  # no rank waits for another rank
    return filled


def feature_size(module: object, what: str = "`head`") -> int:
    """Return the size of the features of an encoder, or of the features that a head was made for.

    Raises:
        TypeError: a module without `dim`.
    """
    of_head = (
        "give the head the size of its features as attribute `dim`, or take `heads.Classifier(encoder, classes=...)`"
    )
    remedy = of_head if what == "`head`" else "wrap the module with `encoders.wrap(module, dim)`"
    return expect(module, HasDim, what, remedy).dim


def times(weight: float | Schedule, part: float | Schedule) -> float | Schedule:
    """Return the product of the weight of a method and the weight of one of its terms."""
    if not callable(weight) and not callable(part):
        return weight * part
    if weight == 1.0:
        return part
    return Described(lambda progress: at(weight, progress) * at(part, progress), f"{weight!r} * {part!r}")
