"""Blocks of other libraries as blocks of this toolkit: pytorch-adapt, skada, scikit-learn, torchjd."""

from adapt.bridges import pytorch_adapt, skada, sklearn
from adapt.bridges._torchjd import torchjd

__all__ = ["pytorch_adapt", "skada", "sklearn", "torchjd"]
