"""Another task, with labels."""

from adapt.inductive.supervised import supervised

__all__ = ["supervised"]
