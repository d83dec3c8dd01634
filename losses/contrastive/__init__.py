"""What two views or two members of a class have in common."""

__all__: list[str] = []
