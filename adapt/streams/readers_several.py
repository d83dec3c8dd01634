"""Readers of sets with several labels a row: spoken digits, handwritten characters."""

import io
import re
import wave
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.streams.readers import data_file, whole

FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
FSDD_TASKS = ("digit", "speaker")
FSDD_RATE = 8_000
OMNIGLOT_TASKS = ("alphabet", "character", "drawer")
DRAWERS = 20


class Omniglot(NamedTuple):
    """Images with their labels, and the names of the alphabets and of the characters, in the order of their numbers."""

    images: TensorDataset
    alphabets: list[str]
    characters: list[str]


def fsdd(root: str | Path | None = None, *, seconds: float = 1.0) -> TensorDataset:
    """Spoken English digits, six speakers with 20 takes of each digit: 1,200 recordings at 8 kHz, 0.14 to 2.3 seconds long.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        seconds: a recording is cut to this length, or ends in zeros; 8 of them are longer than the default.

    Returns:
        ``(n, samples)`` float32 in [-1, 1), and ``(n, 2)`` int64 labels: the digit, and the speaker as an index into `FSDD_SPEAKERS`.
        In the order of digit, speaker, take.

    Jackson et al., Free Spoken Digit Dataset, https://github.com/Jakobovski/free-spoken-digit-dataset
    """
    samples = round(seconds * FSDD_RATE)
    if samples < 1:
        raise ValueError(f"`seconds` must be positive, got {seconds}.")
    path = data_file("fsdd_small", "fsdd_small.zip", root=root)
    with whole(path, "a zip file of <digit>_<speaker>_<take>.wav"), zipfile.ZipFile(path) as archive:
        found = []
        for name in archive.namelist():
            parts = re.fullmatch(r"(?:.*/)?(\d)_([a-z]+)_(\d+)\.wav", name)
            if parts:
                if parts[2] not in FSDD_SPEAKERS:
                    raise ValueError(f"`{name}` is of speaker {parts[2]}, not one of {', '.join(FSDD_SPEAKERS)}")
                found.append((int(parts[1]), FSDD_SPEAKERS.index(parts[2]), int(parts[3]), name))
        if not found:
            raise ValueError("found no such recording")
        found.sort()
        waves = torch.stack([_recording(archive.read(name), name, samples) for *_, name in found])
    return TensorDataset(waves, torch.tensor([(digit, speaker) for digit, speaker, *_ in found]))


def _recording(raw: bytes, name: str, samples: int) -> Tensor:
    """Mono, 16 bits, at the one rate; cut or followed by zeros."""
    with wave.open(io.BytesIO(raw)) as file:
        kind = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if kind != (FSDD_RATE, 1, 2) or file.getnframes() == 0:
            raise ValueError(f"`{name}` has rate, channels, bytes {kind} and {file.getnframes()} samples")
        heard = numpy.frombuffer(file.readframes(file.getnframes()), "<i2")
        if len(heard) < file.getnframes():  # it would end in zeros
            raise ValueError(f"`{name}` holds {len(heard)} of {file.getnframes()} samples")
    heard = heard[:samples]
    return torch.from_numpy(numpy.pad(heard, (0, samples - len(heard)))).float() / 2**15


def omniglot(part: str = "small1", root: str | Path | None = None, *, size: int = 28) -> Omniglot:
    """Handwritten characters of five alphabets, each character drawn once by each of 20 people.

    Args:
        part: ``"small1"``, 136 characters, or ``"small2"``, 156. Greek and Latin are in both, the very same images.
        root: instead of the folder named by ``ADAPT_DATA``.
        size: of the square images, whose 105 pixels are averaged to it.

    Returns:
        `images`: ``(n, 1, size, size)`` float32 in [0, 1], ink is 1; and ``(n, 3)`` int64 labels: alphabet, character, drawer. A
        drawer has a number of his own in each alphabet: 100 in all, and who drew two alphabets has two.

    Lake, Salakhutdinov, Tenenbaum, Human-level concept learning through probabilistic program induction, 2015,
    https://doi.org/10.1126/science.aab3050
    """
    from PIL import Image

    if part not in ("small1", "small2"):
        raise ValueError(f'`part` must be "small1" or "small2", got {part!r}.')
    path = data_file("omniglot_small", f"images_background_{part}.zip", root=root)
    with whole(path, "a zip file of <alphabet>/<character>/<number>_<drawer>.png"), zipfile.ZipFile(path) as archive:
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
