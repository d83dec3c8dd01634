"""Readers of images: digits in four looks, CIFAR-10 as JPEG files, handwritten characters, faces."""

import io
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt import store
from adapt.datasets.files import IMAGES, arrays, data_file, labelled, reading
from adapt.datasets.image_files import load_image
from adapt.datasets.matlab import read_matlab
from adapt.store.limits import Archive
from losses.options import COUNT, check

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OMNIGLOT_TASKS = ("alphabet", "character", "drawer")
DRAWERS = 20
RUNS, WAYS = 20, 20  # of the official one-shot runs of Omniglot


class Omniglot(NamedTuple):
    """Images with labels, and the names of the alphabets and of the characters, in the order of the numbers."""

    images: TensorDataset
    alphabets: list[str]
    characters: list[str]


class OneShotRuns(NamedTuple):
    """Images of few-shot tasks: support and queries ``(runs, ways, 1, size, size)``, and the class of each query."""

    support: Tensor
    queries: Tensor
    answers: Tensor


def mnist(root: str | Path | None = None) -> TensorDataset:
    """Read the 10,000 digits of the MNIST test split: ``(1, 28, 28)`` float32 in [0, 1], labels 0 to 9."""
    path = data_file("mnist_t10k", "t10k-images-idx3-ubyte.gz", root=root)
    labels = data_file("mnist_t10k", "t10k-labels-idx1-ubyte.gz", root=root)
    return labelled(path, _idx(path)[:, None] / 255, _idx(labels), classes=10, shape=(1, 28, 28))


def usps(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """Read 7,291 (``"train"``) or 2,007 (``"test"``) USPS digits: ``(1, 16, 16)`` float32 in [0, 1], labels 0 to 9."""
    _check_split(split)
    path = data_file("usps", "usps.npz", root=root)
    images, labels = arrays(path, f"x_{split}", f"y_{split}")
    return labelled(path, images[:, None] / 255, labels, classes=10, shape=(1, 16, 16))


def mnist_m(root: str | Path | None = None) -> TensorDataset:
    """Read 5,000 MNIST-M digits: ``(3, 32, 32)`` float32 in [0, 1], labels 0 to 9.

    Image i shows digit i of :func:`mnist` on a photograph: a source without a digit of the target is
    ``TensorDataset(*mnist()[5000:])``.
    """
    path = data_file("mnist_m", "mnist_m_test5000.npz", root=root)
    images, labels = arrays(path, "x", "y")
    with reading(path, "rows of height, width, channels"):
        images = images.permute(0, 3, 1, 2).contiguous() / 255
    return labelled(path, images, labels, classes=10, shape=(3, 32, 32))


def semeion(root: str | Path | None = None) -> TensorDataset:
    """Read 1,593 scanned, binarised digits of 80 writers: ``(1, 16, 16)`` float32, 0 or 1, labels 0 to 9."""
    path = data_file("semeion", "semeion.npz", root=root)
    images, labels = arrays(path, "x", "y")
    return labelled(path, images[:, None], labels, classes=10, shape=(1, 16, 16))


def cifar10_jpg(split: str = "train", root: str | Path | None = None) -> TensorDataset:
    """Read 4,000 (``"train"``) or 2,000 (``"test"``) JPEG images of CIFAR-10: ``(3, 32, 32)`` float32 in [0, 1]."""
    _check_split(split)
    path = data_file("cifar10_jpg", "cifar10_subset.zip", root=root)
    images, labels = [], []
    with reading(path, f"a zip file of {split}/<class>/*.jpg"), store.open_zip(path) as archive:
        for name in sorted(archive.names):
            parts = Path(name).parts
            if not name.endswith(".jpg") or split not in parts:
                continue
            labels.append(CIFAR10_CLASSES.index(parts[-2]))
            with _naming(name):
                image = load_image(io.BytesIO(archive.read(name)), archive.budget).convert("RGB")
            archive.budget.take(2 * IMAGES * math.prod(image.size), f"`{name}`")
            images.append(torch.from_numpy(numpy.asarray(image).transpose(2, 0, 1).copy()))
        stacked = torch.stack(images)
        del images
    return labelled(path, stacked / 255, torch.tensor(labels), classes=10, shape=(3, 32, 32))


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
    if part not in ("small1", "small2"):
        raise ValueError(f'`part` must be "small1" or "small2", got {part!r}.')
    check(COUNT, size=size)
    path = data_file("omniglot_small", f"images_background_{part}.zip", root=root)
    with reading(path, "a zip file of <alphabet>/<character>/<number>_<drawer>.png"), store.open_zip(path) as archive:
        names = sorted(n for n in archive.names if re.search(r"[^/]+/character\d+/\d+_\d\d\.png$", n))
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
            images.append(_drawing(archive, name, size))
    return Omniglot(TensorDataset(torch.stack(images), torch.tensor(labels)), alphabets, characters)


def omniglot_runs(root: str | Path | None = None, *, size: int = 28) -> OneShotRuns:
    """Read the 20 official one-shot runs: 20 characters of one alphabet, drawn by one person, and again by another.

    No alphabet of the runs is in :func:`omniglot`.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        size: of the square images; the 105 pixels of a side are averaged to `size` pixels.

    Returns:
        `support` and `queries`: ``(20, 20, 1, size, size)`` float32 in [0, 1], ink is 1, by run; support image k is of
        class k. `answers`: ``(20, 20)`` int64, the class of each query.

    Lake, Salakhutdinov, Tenenbaum, Human-level concept learning through probabilistic program induction, 2015,
    https://doi.org/10.1126/science.aab3050
    """
    check(COUNT, size=size)
    path = data_file("omniglot_small", "all_runs.zip", root=root)
    support, queries, answers = [], [], []
    with reading(path, "a zip file of run01/training/class01.png, ..."), store.open_zip(path) as archive:
        for run in (f"run{number:02d}" for number in range(1, RUNS + 1)):
            lines = archive.read(f"{run}/class_labels.txt").decode().split("\n")
            pairs = [line.split() for line in lines if line.strip()]
            learned = [f"{run}/training/class{number:02d}.png" for number in range(1, WAYS + 1)]
            if len(pairs) != WAYS or any(len(pair) != 2 or pair[1] not in learned for pair in pairs):
                raise ValueError(f"`{run}/class_labels.txt` has no {WAYS} pairs of a test and a training image")
            support += [_drawing(archive, name, size) for name in learned]
            queries += [_drawing(archive, name, size) for name, _ in pairs]
            answers += [learned.index(name) for _, name in pairs]
    shape = RUNS, WAYS, 1, size, size
    images = torch.stack(support).view(shape), torch.stack(queries).view(shape)
    return OneShotRuns(images[0], images[1], torch.tensor(answers).view(RUNS, WAYS))


def olivetti(root: str | Path | None = None) -> TensorDataset:
    """Read 400 faces of 40 people: ``(1, 64, 64)`` float32 in [0, 1], labels 0 to 39, ten photographs in a row.

    Samaria and Harter, Parameterisation of a Stochastic Model for Human Face Identification, 1994,
    https://doi.org/10.1109/ACV.1994.341300
    """
    path = data_file("olivetti_faces", "olivettifaces.mat", root=root)
    with reading(path, "a MATLAB 5 file with faces (4096, 400), one column for each photograph"):
        (columns,) = read_matlab(path, "faces")
        if isinstance(columns, list) or columns.shape != (4096, 400):
            raise ValueError(f"found {getattr(columns, 'shape', 'cells')}")
        faces = torch.from_numpy(columns.T.reshape(400, 1, 64, 64).swapaxes(2, 3).copy())
    return labelled(path, faces / 255, torch.arange(40).repeat_interleave(10), classes=40, shape=(1, 64, 64))


def _drawing(archive: Archive, name: str, size: int) -> Tensor:
    """Return an image of dark lines as ``(1, size, size)`` numbers, 1 where the ink is."""
    from PIL.Image import Resampling

    with _naming(name):
        image = load_image(io.BytesIO(archive.read(name)), archive.budget).convert("L")
    return 1 - torch.from_numpy(numpy.array(image.resize((size, size), Resampling.BOX)))[None].float() / 255


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f'`split` must be "train" or "test", got {split!r}.')


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name a file inside a zip file in an error."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, KeyError, struct.error) as error:  # as PIL raises them
        raise ValueError(f"`{name}`: {error}") from error


def _idx(path: Path) -> Tensor:
    """Read the array of an IDX file: two zero bytes, the type (8: uint8), the number of axes, big-endian sizes, the
    data.
    """
    with reading(path, "an IDX file of bytes"):
        raw = store.unpacked(path, cost=IMAGES)
        if raw[:3] != b"\0\0\x08":
            raise ValueError(f"expected the bytes 00 00 08 at the start, got {raw[:3].hex()}")
        start = 4 + 4 * raw[3]
        sizes = numpy.frombuffer(raw, ">u4", count=raw[3], offset=4).tolist()
        if math.prod(sizes) != len(raw) - start:
            raise ValueError(f"the header claims the shape {sizes}, and {len(raw) - start} bytes are there")
        return torch.from_numpy(numpy.frombuffer(raw, numpy.uint8, offset=start).reshape(sizes).copy())
