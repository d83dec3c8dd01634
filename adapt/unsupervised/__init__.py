"""No labels at all: self-supervised pre-training of the shared encoder."""

from adapt.unsupervised._barlow_twins import barlow_twins
from adapt.unsupervised._dino import dino
from adapt.unsupervised._lejepa import lejepa
from adapt.unsupervised._masked_reconstruction import masked_reconstruction
from adapt.unsupervised._simclr import simclr
from adapt.unsupervised._swav import swav
from adapt.unsupervised._vicreg import vicreg

__all__ = [
    "barlow_twins",
    "dino",
    "lejepa",
    "masked_reconstruction",
    "simclr",
    "swav",
    "vicreg",
]
