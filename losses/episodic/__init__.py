"""A few labelled rows, and queries."""

from losses.episodic._prototypical import prototypes, prototypical
from losses.episodic._ridge import ridge, ridge_weights

__all__ = ["prototypes", "prototypical", "ridge", "ridge_weights"]
