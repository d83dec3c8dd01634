"""Named sources of batches: order and augmentation are functions of (seed, stream, epoch, index)."""

from adapt.streams.digits import Digits, Splits, digits
from adapt.streams.order import key
from adapt.streams.readers import CIFAR10_CLASSES, cifar10_jpg, data_file, mnist, mnist_m, usps
from adapt.streams.stream import Batch, Stream

__all__ = [
    "CIFAR10_CLASSES",
    "Batch",
    "Digits",
    "Splits",
    "Stream",
    "cifar10_jpg",
    "data_file",
    "digits",
    "key",
    "mnist",
    "mnist_m",
    "usps",
]
