"""A folder of recordings as a data set."""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch

from adapt.datasets.folders import FileRows, class_files, naming


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
            of `names`. When a row is read: a file that is no complete recording.
    """
    if not isinstance(rate, int) or rate < 1:
        raise ValueError(f"`rate` must be a whole number of samples per second, got {rate!r}.")
    return FileRows(class_files(folder, (".wav",), "recordings", names), partial(_read, rate=rate, prepare=prepare))


def _read(path: str, rate: int, prepare: Callable | None) -> Any:
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    with naming(path, "a recording"), warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks beside the samples, such as a title
        warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
        found, samples = wavfile.read(path)
        if not len(samples):
            raise ValueError("it has no samples")
    if samples.dtype == numpy.uint8:  # the only width without a sign
        samples = samples.astype("float64") / 128 - 1
    elif samples.dtype.kind == "i":
        samples = samples.astype("float64") / 2.0 ** (8 * samples.itemsize - 1)
    mono = samples.mean(1) if samples.ndim == 2 else samples
    if found != rate:
        shared = math.gcd(found, rate)
        mono = resample_poly(mono, rate // shared, found // shared)
    recording = torch.from_numpy(mono.astype("float32"))
    return recording if prepare is None else prepare(recording)
