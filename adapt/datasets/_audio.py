"""A folder of recordings as a data set."""

import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from adapt.datasets.folders import FileRows, class_files, naming, plain_files
from adapt.store import Budget
from losses.options import COUNT, check

FEWEST, MOST = 1_000, 1_000_000  # samples per second of a file
FILTER = 8 * 20  # bytes of the filter for each step of a change of rate


def audio(
    folder: str | Path, *, rate: int, prepare: Callable | None = None, names: Sequence[str] | None = None
) -> FileRows:
    """Return the recordings below a folder, one subfolder for each class.

    A recording is read at the moment of use. Recordings may have unequal lengths: `prepare` cuts or fills them to
    one length, or the stream pads them.

    Args:
        folder: one subfolder for each class, with ``.wav`` files at any depth; or ``.wav`` files alone, for a data set
            without labels.
        rate: samples per second of the items, as the weights of the encoder expect. A file of another rate is
            resampled, with a filter against aliases.
        prepare: called with the samples, without randomness.
        names: of the classes, in the order of the numbers, as in :func:`images`.

    Returns:
        A data set with `names`, `labels` and `paths`. An item is ``(recording, label)``: ``(samples,)`` float32 in
        [-1, 1], the mean over the channels.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a rate below 1; recordings beside subfolders, a subfolder without recordings, a subfolder outside
            of `names`. When a row is read: a file that is no complete recording, a sample
            that is not finite, a rate of the file outside of 1,000 to 1,000,000.
    """
    check(COUNT, rate=rate)
    return FileRows(class_files(folder, (".wav",), "recordings", names), AudioReader(rate, prepare))


@dataclass(frozen=True)
class AudioReader:
    """From the path of a recording to an input.

    Attributes:
        rate, prepare: see :func:`datasets.audio`.
    """

    rate: int
    prepare: Callable | None

    def __call__(self, path: str) -> Any:
        return _read(path, self.rate, self.prepare)

    def prepared(self, raw: str | Path | Sequence[str | Path]) -> FileRows:
        """Return recordings as a data set without labels.

        Args:
            raw: a file, a folder, or a sequence of files.

        Raises:
            FileNotFoundError: no such file or folder.
        """
        return FileRows(plain_files(raw, (".wav",), "recordings"), self)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.datasets._audio.AudioReader", {"rate": self.rate, "prepare": self.prepare}


def _read(path: str, rate: int, prepare: Callable | None) -> Any:
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    with naming(path, "a recording"), warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks beside the samples, such as a title
        warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
        budget, content = Budget(path), Path(path).read_bytes()
        _check_sizes(content)
        found, samples = wavfile.read(io.BytesIO(content))  # of a file scipy would take the memory that the file claims
        if not samples.size:
            raise ValueError("it has no samples")
        if not FEWEST <= found <= MOST:
            raise ValueError(f"it has {found} samples per second, expected {FEWEST} to {MOST}")
        shared = math.gcd(found, rate)
        up, down = rate // shared, found // shared
        if up != down:
            budget.allow(FILTER * max(up, down), f"the filter from {found} to {rate} samples per second")
        if samples.dtype == numpy.uint8:  # the only width without a sign
            samples = samples.astype("float64") / 128 - 1
        elif samples.dtype.kind == "i":
            samples = samples.astype("float64") / 2.0 ** (8 * samples.itemsize - 1)
        mono = samples.mean(1) if samples.ndim == 2 else samples
        if not numpy.isfinite(mono).all():
            raise ValueError("it has a sample that is not finite")
        if up != down:
            mono = resample_poly(mono, up, down)
    recording = torch.from_numpy(mono.astype("float32"))
    return recording if prepare is None else prepare(recording)


def _check_sizes(content: bytes) -> None:
    """Raise a ValueError where a part of a ``.wav`` file claims more bytes than the file has."""
    at = 12
    while content[:4] == b"RIFF" and at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if at + 8 + size > len(content):
            raise ValueError(
                f"the part {content[at : at + 4]!r} claims {size} bytes, and {len(content) - at - 8} are left"
            )
        at += 8 + size + size % 2
