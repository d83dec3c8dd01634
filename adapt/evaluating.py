"""Evaluation mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradient; afterwards every part is in the mode it was in.

    >>> layer = nn.Dropout()
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = {part: part.training for module in modules for part in module.modules()}
    try:
        with torch.no_grad():
            for module in modules:
                module.eval()
            yield
    finally:
        for part, training in modes.items():
            part.training = training
