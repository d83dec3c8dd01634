"""Named sources of batches, with order and augmentation as functions of (seed, stream, epoch, index)."""

from adapt.streams import collate
from adapt.streams.batch import Batch
from adapt.streams.items import jointly
from adapt.streams.stream import Stream

__all__ = [
    "Batch",
    "Stream",
    "collate",
    "jointly",
]
