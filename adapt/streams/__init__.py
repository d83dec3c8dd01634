"""Named sources of batches, with order and augmentation as functions of (seed, stream, epoch, index)."""

from adapt.streams import collate
from adapt.streams._episodes import Episode, episodes
from adapt.streams.batch import Batch
from adapt.streams.items import jointly
from adapt.streams.stream import Stream

__all__ = [
    "Batch",
    "Episode",
    "Stream",
    "collate",
    "episodes",
    "jointly",
]
