"""Named sources of batches: order and augmentation are functions of (seed, stream, epoch, index)."""

from adapt.streams.stream import Batch, Stream

__all__ = [
    "Batch",
    "Stream",
]
