"""Evaluation mode for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode, without gradient, and give every part the old mode after the block.

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
