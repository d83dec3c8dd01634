"""Memory of tensors that code makes for a description in a file, counted before the memory is taken."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adapt.store.limits import Budget

LEAST = 4096  # bytes that a tensor counts at least: an object of Python, and a limit on the number of tensors


class LimitedTensors(TorchDispatchMode):
    """A block in which new tensors take their memory from a budget: a file may describe a layer of any size.

    Raises:
        TooLarge: a tensor needs more memory than the budget has left. The tensor is not made.
    """

    def __init__(self, budget: Budget):
        super().__init__()
        self.budget = budget

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if any(argument.name == "device" for argument in func._schema.arguments):  # a function that makes a tensor
            generator = {"generator": None} if "generator" in kwargs else {}
            shape = func(*args, **kwargs | generator | {"device": torch.device("meta")})
            self.budget.take(max(shape.nbytes, LEAST), f"a tensor of shape {tuple(shape.shape)}")
        return func(*args, **kwargs)
