"""A few labelled rows, and queries."""

__all__: list[str] = []
