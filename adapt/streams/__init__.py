"""Named sources of batches, with order and augmentation as functions of (seed, stream, epoch, index)."""

from adapt.streams.stream import Batch, Stream

__all__ = [
    "Batch",
    "Stream",
]
