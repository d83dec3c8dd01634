"""The form of a test-time method: a name, options, and a learner on a network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy
from torch import nn


@dataclass(frozen=True)
class OnlineMethod:
    """A method of adaptation and prediction at once.

    Attributes:
        name: of the function that made the method.
        options: of the method, by name.
        learner: ``learner(network, **options)`` returns a module. The call ``(x, learn)`` of the module returns
            ``(n, classes)`` log-probabilities, and adapts where `learn` is True. The ``state_dict`` holds the whole
            state.
        comparable: whether the confidence can be compared with the confidence of the source model. A guard needs it.
    """

    name: str
    options: Mapping[str, Any]
    learner: Callable[..., nn.Module] = field(repr=False)
    comparable: bool = True

    def __post_init__(self) -> None:
        plain = {n: v.item() if isinstance(v, numpy.generic) else v for n, v in self.options.items()}
        object.__setattr__(self, "options", plain)  # a number of numpy in a state could not be loaded again

    def __str__(self) -> str:
        """The name with the options that are numbers, names or methods: rows and functions have no stable text."""
        told = {n: v for n, v in self.options.items() if v is None or isinstance(v, int | float | str | OnlineMethod)}
        return f"{self.name}({', '.join(f'{n}={v}' for n, v in told.items())})"

    def start(self, network: nn.Module) -> nn.Module:
        """Return the method on a network, which the method may change."""
        return self.learner(network, **self.options)
