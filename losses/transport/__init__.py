"""Distances between two clouds of features by optimal transport."""

__all__: list[str] = []
