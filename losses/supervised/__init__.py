"""Labels, hard, soft, weighted or mixed."""

__all__: list[str] = []
