"""Readers of speech: spoken digits."""

import io
import re
import wave
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt import store
from adapt.datasets.files import data_file, reading
from losses.options import check, is_number

FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
FSDD_TASKS = ("digit", "speaker")
FSDD_RATE = 8_000


def fsdd(root: str | Path | None = None, *, seconds: float = 1.0) -> TensorDataset:
    """Read spoken English digits: 1,200 recordings at 8 kHz, 0.14 to 2.3 seconds long.

    Six speakers said each digit 20 times.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        seconds: length of a row: a longer recording is cut, a shorter recording ends in zeros. Eight recordings are
            longer than the default.

    Returns:
        ``(n, samples)`` float32 in [-1, 1), and ``(n, 2)`` int64 labels: the digit, and the speaker as an index into
        `FSDD_SPEAKERS`. The rows are in the order of digit, speaker, take.

    Jackson et al., Free Spoken Digit Dataset, https://github.com/Jakobovski/free-spoken-digit-dataset
    """
    check(
        (f"a number of at least one sample, 1 / {FSDD_RATE}", lambda v: is_number(v) and v * FSDD_RATE >= 1),
        seconds=seconds,
    )
    samples = round(seconds * FSDD_RATE)
    path = data_file("fsdd_small", "fsdd_small.zip", root=root)
    with reading(path, "a zip file of <digit>_<speaker>_<take>.wav"), store.open_zip(path) as archive:
        found = []
        for name in archive.names:
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
    """Return a recording of one channel and 16 bits as `samples` numbers, cut or followed by zeros."""
    with wave.open(io.BytesIO(raw)) as file:
        kind = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if kind != (FSDD_RATE, 1, 2) or file.getnframes() == 0:
            raise ValueError(f"`{name}` has rate, channels, bytes {kind} and {file.getnframes()} samples")
        heard = numpy.frombuffer(file.readframes(file.getnframes()), "<i2")
        if len(heard) < file.getnframes():  # a torn recording would end in zeros
            raise ValueError(f"`{name}` holds {len(heard)} of {file.getnframes()} samples")
    heard = heard[:samples]
    return torch.from_numpy(numpy.pad(heard, (0, samples - len(heard)))).float() / 2**15
