"""Masks, forecasts and other outputs with many places a row."""

__all__: list[str] = []
