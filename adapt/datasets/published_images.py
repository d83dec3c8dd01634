"""Readers of images: digits in four looks, CIFAR-10 as JPEG files, handwritten characters."""

import gzip
import io
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.datasets.files import arrays, data_file, labelled, reading

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OMNIGLOT_TASKS = ("alphabet", "character", "drawer")
DRAWERS = 20


class Omniglot(NamedTuple):
    """Images with labels, and the names of the alphabets and of the characters, in the order of the numbers."""

    images: TensorDataset
    alphabets: list[str]
    characters: list[str]


def mnist(root: str | Path | None = None) -> TensorDataset:
    """Read the 10,000 digits of the MNIST test split: ``(1, 28, 28)`` float32 in [0, 1], labels 0 to 9."""
    path = data_file("mnist_t10k", "t10k-images-idx3-ubyte.gz", root=root)
    labels = data_file("mnist_t10k", "t10k-labels-idx1-ubyte.gz", root=root)
    return labelled(path, _idx(path)[:, None] / 255, _idx(labels), classes=10)


def usps(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """Read 7,291 (``"train"``) or 2,007 (``"test"``) USPS digits: ``(1, 16, 16)`` float32 in [0, 1], labels 0 to 9."""
    _check_split(split)
    path = data_file("usps", "usps.npz", root=root)
    images, labels = arrays(path, f"x_{split}", f"y_{split}")
    return labelled(path, images[:, None] / 255, labels, classes=10)


def mnist_m(root: str | Path | None = None) -> TensorDataset:
    """Read 5,000 MNIST-M digits: ``(3, 32, 32)`` float32 in [0, 1], labels 0 to 9.

    Image i shows digit i of :func:`mnist` on a photograph: a source without a digit of the target is
    ``TensorDataset(*mnist()[5000:])``.
    """
    path = data_file("mnist_m", "mnist_m_test5000.npz", root=root)
    images, labels = arrays(path, "x", "y")
    return labelled(path, images.permute(0, 3, 1, 2) / 255, labels, classes=10)


def semeion(root: str | Path | None = None) -> TensorDataset:
    """Read 1,593 scanned, binarised digits of 80 writers: ``(1, 16, 16)`` float32, 0 or 1, labels 0 to 9."""
    path = data_file("semeion", "semeion.npz", root=root)
    images, labels = arrays(path, "x", "y")
    return labelled(path, images[:, None], labels, classes=10)


def cifar10_jpg(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """Read 4,000 (``"train"``) or 2,000 (``"test"``) JPEG images of CIFAR-10: ``(3, 32, 32)`` float32 in [0, 1]."""
    from PIL import Image

    _check_split(split)
    path = data_file("cifar10_jpg", "cifar10_subset.zip", root=root)
    images, labels = [], []
    with reading(path, f"a zip file of {split}/<class>/*.jpg"), zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            parts = Path(name).parts
            if not name.endswith(".jpg") or split not in parts:
                continue
            labels.append(CIFAR10_CLASSES.index(parts[-2]))
            images.append(numpy.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))
        stacked = torch.from_numpy(numpy.stack(images))
    return labelled(path, stacked.permute(0, 3, 1, 2) / 255, torch.tensor(labels), classes=10)


def omniglot(part: str = "small1", root: str | Path | None = None, *, size: int = 28) -> Omniglot:
    """Read handwritten characters of five alphabets, each character drawn once by each of 20 people.

    Args:
        part: ``"small1"``, 136 characters, or ``"small2"``, 156. Greek and Latin are the same images in both parts.
        root: instead of the folder named by ``ADAPT_DATA``.
        size: of the square images; the 105 pixels of a side are averaged to `size` pixels.

    Returns:
        `images`: ``(n, 1, size, size)`` float32 in [0, 1], ink is 1; and ``(n, 3)`` int64 labels: alphabet, character,
        drawer. Drawers are numbered anew in each alphabet: 100 numbers in all, two for a person who drew two alphabets.

    Lake, Salakhutdinov, Tenenbaum, Human-level concept learning through probabilistic program induction, 2015,
    https://doi.org/10.1126/science.aab3050
    """
    from PIL import Image

    if part not in ("small1", "small2"):
        raise ValueError(f'`part` must be "small1" or "small2", got {part!r}.')
    path = data_file("omniglot_small", f"images_background_{part}.zip", root=root)
    with reading(path, "a zip file of <alphabet>/<character>/<number>_<drawer>.png"), zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if re.search(r"[^/]+/character\d+/\d+_\d\d\.png$", n))
        if not names:
            raise ValueError("found no such image")
        where = [n.split("/")[-3:] for n in names]
        alphabets = sorted({a for a, *_ in where})
        characters = sorted({f"{a}/{c}" for a, c, _ in where})
        labels, images = [], []
        for name, (alphabet, character, file) in zip(names, where, strict=True):
            first = alphabets.index(alphabet)
            drawer = int(file[-6:-4]) - 1
            if not 0 <= drawer < DRAWERS:
                raise ValueError(f"`{name}` is of drawer {drawer + 1}, not 1 to {DRAWERS}")
            labels.append((first, characters.index(f"{alphabet}/{character}"), first * DRAWERS + drawer))
            image = Image.open(io.BytesIO(archive.read(name))).convert("L")
            images.append(numpy.asarray(image.resize((size, size), Image.Resampling.BOX)))
    ink = 1 - torch.from_numpy(numpy.stack(images))[:, None].float() / 255
    return Omniglot(TensorDataset(ink, torch.tensor(labels)), alphabets, characters)


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f'`split` must be "train" or "test", got {split!r}.')


def _idx(path: Path) -> Tensor:
    """Read the array of an IDX file: two zero bytes, the type (8: uint8), the number of axes, big-endian sizes, the
    data.
    """
    with reading(path, "an IDX file of bytes"):
        with gzip.open(path) as file:
            raw = file.read()
        if raw[:3] != b"\0\0\x08":
            raise ValueError(f"expected the bytes 00 00 08 at the start, got {raw[:3].hex()}")
        sizes = numpy.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return torch.from_numpy(numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy())
