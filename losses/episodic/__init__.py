"""A few labelled rows, and queries."""

from losses.episodic.prototypical import prototypes, prototypical
from losses.episodic.ridge import ridge, ridge_weights

__all__ = ["prototypes", "prototypical", "ridge", "ridge_weights"]
