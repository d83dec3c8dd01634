"""Reader of spoken digits."""

import io
import wave

import numpy
import pytest
import torch

from adapt import datasets
from tests.adapt.datasets.small_files import write_zip


def recording(values, rate=8000, channels=1):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(numpy.array(values, "<i2").tobytes())
    return file.getvalue()


def write_speech(root, files):
    write_zip(root, "fsdd_small", "fsdd_small.zip", files)


def test_recordings_are_cut_or_end_in_zeros(tmp_path):
    write_speech(
        tmp_path,
        {
            "9_theo_10.wav": recording([-32768] * 3),
            "9_theo_9.wav": recording([16384, 1, 2, 3, 4, 5]),
            "recordings/0_yweweler_0.wav": recording([0, 8192]),
            "README.md": b"other",
        },
    )
    x, y = datasets.fsdd(tmp_path, seconds=4 / 8000).tensors
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    assert x.tolist() == [[0, 0.25, 0, 0], [0.5, 1 / 2**15, 2 / 2**15, 3 / 2**15], [-1, -1, -1, 0]]
    assert y.tolist() == [[0, 5], [9, 4], [9, 4]] and datasets.FSDD_SPEAKERS[4] == "theo"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "found no such recording"),
        ({"1_theo_0.wav": b"RIFF"}, "fsdd_small.zip` cannot be read"),
        ({"1_theo_0.wav": recording([1, 2], rate=16000)}, "16000"),
        ({"1_theo_0.wav": recording([1, 2], channels=2)}, "channels"),
        ({"1_theo_0.wav": recording([])}, "0 samples"),
        ({"1_theo_0.wav": recording([1, 2, 3])[:-2]}, "2 of 3 samples"),
        ({"1_nobody_0.wav": recording([1])}, "nobody"),
    ],
)
def test_other_recordings_are_named(tmp_path, files, message):
    write_speech(tmp_path, files)
    with pytest.raises(ValueError, match=message):
        datasets.fsdd(tmp_path)


def test_missing_and_torn_recordings(tmp_path):
    with pytest.raises(FileNotFoundError, match="github.com"):
        datasets.fsdd(tmp_path)
    write_speech(tmp_path, {"a": b"b"})
    path = tmp_path / "fsdd_small" / "fsdd_small.zip"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="cannot be read as a zip file"):
        datasets.fsdd(tmp_path)


def test_bad_length():
    with pytest.raises(ValueError, match="`seconds` must be a number of at least one sample"):
        datasets.fsdd(seconds=0)


@pytest.mark.data
def test_the_spoken_digits():
    x, y = datasets.fsdd().tensors
    assert x.shape == (1200, 8000) and y.shape == (1200, 2)
    assert (y[:, 0] * 6 + y[:, 1]).bincount().tolist() == [20] * 60
    assert len(x.unique(dim=0)) == 1200, "no recording is there twice"
    assert x.abs().amax(1).min() > 0.01 and x.abs().max() <= 1
    assert (datasets.fsdd(seconds=3.0).tensors[0][:, 8000:] != 0).any(1).sum() == 8
