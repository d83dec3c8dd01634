"""Readers of benchmark data that a user brings: folders below the one named by ``ADAPT_DATA``."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def data_file(*parts: str, root: str | Path | None = None) -> Path:
    """The path of a file below `root`, or below the folder named by ``ADAPT_DATA``.

    Raises:
        FileNotFoundError: no folder given, or the file is not there.
    """
    folder = root if root is not None else os.environ.get("ADAPT_DATA")
    if not folder:
        raise FileNotFoundError(
            f"`{'/'.join(parts)}` was asked for and no data folder is known: set the environment variable ADAPT_DATA "
            "to the folder that holds it, or pass `root`. docs/data.md says where each set comes from."
        )
    path = Path(folder).joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(
            f"expected the file `{path}` and it is not there: put the data set below the folder named by ADAPT_DATA "
            "(or `root`). docs/data.md says where each set comes from."
        )
    return path


def mnist(root: str | Path | None = None) -> TensorDataset:
    """The 10,000 digits of the MNIST test split: ``(1, 28, 28)`` float32 in [0, 1], labels 0 to 9."""
    images = _idx(data_file("mnist_t10k", "t10k-images-idx3-ubyte.gz", root=root))
    labels = _idx(data_file("mnist_t10k", "t10k-labels-idx1-ubyte.gz", root=root))
    return TensorDataset(_unit(images[:, None]), labels.long())


def usps(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """USPS digits, 7,291 (``"train"``) or 2,007 (``"test"``): ``(1, 16, 16)`` float32 in [0, 1], labels 0 to 9."""
    if split not in ("train", "test"):
        raise ValueError(f'`split` must be "train" or "test", got {split!r}.')
    with numpy.load(data_file("usps", "usps.npz", root=root)) as arrays:
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    return TensorDataset(_unit(torch.from_numpy(images)[:, None]), torch.from_numpy(labels).long())


def mnist_m(root: str | Path | None = None) -> TensorDataset:
    """5,000 MNIST-M digits: ``(3, 32, 32)`` float32 in [0, 1], labels 0 to 9.

    Image i shows digit i of :func:`mnist` on a photograph: take rows 5000 and up of that as a source that shares none.
    """
    with numpy.load(data_file("mnist_m", "mnist_m_test5000.npz", root=root)) as arrays:
        images, labels = arrays["x"], arrays["y"]
    return TensorDataset(_unit(torch.from_numpy(images).permute(0, 3, 1, 2)), torch.from_numpy(labels).long())


def cifar10_jpg(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """JPEG re-encodings of CIFAR-10, 4,000 (``"train"``) or 2,000 (``"test"``): ``(3, 32, 32)`` float32 in [0, 1]."""
    from PIL import Image

    if split not in ("train", "test"):
        raise ValueError(f'`split` must be "train" or "test", got {split!r}.')
    images, labels = [], []
    with zipfile.ZipFile(data_file("cifar10_jpg", "cifar10_subset.zip", root=root)) as archive:
        for name in sorted(archive.namelist()):
            parts = Path(name).parts
            if not name.endswith(".jpg") or split not in parts:
                continue
            labels.append(CIFAR10_CLASSES.index(parts[-2]))
            images.append(numpy.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))
    return TensorDataset(_unit(torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2)), torch.tensor(labels))


def _idx(path: Path) -> Tensor:
    """The array of an IDX file: two zero bytes, the type (8: uint8), the number of axes, big-endian sizes, the data."""
    with gzip.open(path) as file:
        raw = file.read()
    if raw[:3] != b"\0\0\x08":
        raise ValueError(
            f"`{path}` is not an IDX file of bytes: expected it to start with 00 00 08, got {raw[:3].hex()}."
        )
    sizes = numpy.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return torch.from_numpy(numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy())


def _unit(images: Tensor) -> Tensor:
    """uint8 images to contiguous float32 in [0, 1]."""
    return (images.float() / 255).contiguous()
