"""What a pretrained network should keep."""

__all__: list[str] = []
