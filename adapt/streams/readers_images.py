"""Readers of images: digits in four looks, and CIFAR-10 as JPEG files."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.streams.readers import arrays, data_file, labelled, whole

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def mnist(root: str | Path | None = None) -> TensorDataset:
    """The 10,000 digits of the MNIST test split: ``(1, 28, 28)`` float32 in [0, 1], labels 0 to 9."""
    path = data_file("mnist_t10k", "t10k-images-idx3-ubyte.gz", root=root)
    labels = data_file("mnist_t10k", "t10k-labels-idx1-ubyte.gz", root=root)
    return labelled(path, _idx(path)[:, None] / 255, _idx(labels), classes=10)


def usps(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """USPS digits, 7,291 (``"train"``) or 2,007 (``"test"``): ``(1, 16, 16)`` float32 in [0, 1], labels 0 to 9."""
    _check_split(split)
    path = data_file("usps", "usps.npz", root=root)
    images, labels = arrays(path, f"x_{split}", f"y_{split}")
    return labelled(path, images[:, None] / 255, labels, classes=10)


def mnist_m(root: str | Path | None = None) -> TensorDataset:
    """5,000 MNIST-M digits: ``(3, 32, 32)`` float32 in [0, 1], labels 0 to 9.

    Image i shows digit i of :func:`mnist` on a photograph: the source that shares no digit with it is
    ``TensorDataset(*mnist()[5000:])``.
    """
    path = data_file("mnist_m", "mnist_m_test5000.npz", root=root)
    images, labels = arrays(path, "x", "y")
    return labelled(path, images.permute(0, 3, 1, 2) / 255, labels, classes=10)


def semeion(root: str | Path | None = None) -> TensorDataset:
    """1,593 scanned, binarised digits of 80 writers: ``(1, 16, 16)`` float32, 0 or 1, labels 0 to 9."""
    path = data_file("semeion", "semeion.npz", root=root)
    images, labels = arrays(path, "x", "y")
    return labelled(path, images[:, None], labels, classes=10)


def cifar10_jpg(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """JPEG re-encodings of CIFAR-10, 4,000 (``"train"``) or 2,000 (``"test"``): ``(3, 32, 32)`` float32 in [0, 1]."""
    from PIL import Image

    _check_split(split)
    path = data_file("cifar10_jpg", "cifar10_subset.zip", root=root)
    images, labels = [], []
    with whole(path, f"a zip file of {split}/<class>/*.jpg"), zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            parts = Path(name).parts
            if not name.endswith(".jpg") or split not in parts:
                continue
            labels.append(CIFAR10_CLASSES.index(parts[-2]))
            images.append(numpy.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))
        stacked = torch.from_numpy(numpy.stack(images))
    return labelled(path, stacked.permute(0, 3, 1, 2) / 255, torch.tensor(labels), classes=10)


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f'`split` must be "train" or "test", got {split!r}.')


def _idx(path: Path) -> Tensor:
    """The array of an IDX file: two zero bytes, the type (8: uint8), the number of axes, big-endian sizes, the data."""
    with whole(path, "an IDX file of bytes"):
        with gzip.open(path) as file:
            raw = file.read()
        if raw[:3] != b"\0\0\x08":
            raise ValueError(f"expected it to start with 00 00 08, got {raw[:3].hex()}")
        sizes = numpy.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return torch.from_numpy(numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy())
