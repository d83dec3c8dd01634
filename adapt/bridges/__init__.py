"""Blocks of other libraries as blocks of this toolkit: pytorch-adapt, skada, torchjd."""

from adapt.bridges import pytorch_adapt, skada
from adapt.bridges._torchjd import torchjd

__all__ = ["pytorch_adapt", "skada", "torchjd"]
