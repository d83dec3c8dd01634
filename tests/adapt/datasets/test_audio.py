"""Readers of sets with several labels a row."""

import io
import os
import wave
import zipfile

import numpy
import pytest
import torch
from PIL import Image

from adapt import datasets

data = pytest.mark.data
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


def recording(values, rate=8000, channels=1):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(numpy.array(values, "<i2").tobytes())
    return file.getvalue()


def drawing(ink):
    """105 x 105, white paper; `ink` is a box of pixels."""
    image, file = Image.new("1", (105, 105), 1), io.BytesIO()
    image.paste(0, ink)
    image.save(file, "PNG")
    return file.getvalue()


def write(root, folder, name, files):
    (root / folder).mkdir(exist_ok=True)
    with zipfile.ZipFile(root / folder / name, "w") as archive:
        for inside, raw in files.items():
            archive.writestr(inside, raw)


def write_speech(root, files):
    write(root, "fsdd_small", "fsdd_small.zip", files)


def write_drawings(root, files):
    write(root, "omniglot_small", "images_background_small1.zip", files)


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


def test_drawings_and_their_three_labels(tmp_path):
    black = drawing((0, 0, 105, 105))
    write_drawings(
        tmp_path,
        {
            "set/Latin/character01/0683_20.png": drawing((0, 0, 35, 21)),
            "set/Greek/character02/0395_01.png": black,
            "set/Greek/character01/0394_02.png": black,
        },
    )
    images, alphabets, characters = datasets.omniglot(root=tmp_path, size=3)
    x, y = images.tensors
    assert alphabets == ["Greek", "Latin"] and len(characters) == 3
    assert y.tolist() == [[0, 0, 1], [0, 1, 0], [1, 2, 39]]
    assert x.shape == (3, 1, 3, 3) and x[:2].eq(1).all()
    assert x[2, 0, 0].tolist() == pytest.approx([0.6, 0, 0], abs=1e-6) and not x[2, 0, 1:].any()


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


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "found no such image"),
        ({"set/Latin/character01/0683_20.png": b"PNG"}, "small1.zip` cannot be read"),
        ({"set/Latin/character01/0683_21.png": drawing((0, 0, 1, 1))}, "drawer 21, not 1 to 20"),
    ],
)
def test_other_drawings_are_named(tmp_path, files, message):
    write_drawings(tmp_path, files)
    with pytest.raises(ValueError, match=message):
        datasets.omniglot(root=tmp_path)


@pytest.mark.parametrize("reader", [datasets.fsdd, datasets.omniglot])
def test_missing_and_torn_files(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match="github.com"):
        reader(root=tmp_path)
    for folder, name in [("fsdd_small", "fsdd_small.zip"), ("omniglot_small", "images_background_small1.zip")]:
        write(tmp_path, folder, name, {"a": b"b"})
        path = tmp_path / folder / name
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="cannot be read as a zip file"):
        reader(root=tmp_path)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`seconds` must be positive"):
        datasets.fsdd(seconds=0)
    with pytest.raises(ValueError, match="`part` must be"):
        datasets.omniglot("large")


@data
@needs_data
def test_the_spoken_digits():
    x, y = datasets.fsdd().tensors
    assert x.shape == (1200, 8000) and y.shape == (1200, 2)
    assert (y[:, 0] * 6 + y[:, 1]).bincount().tolist() == [20] * 60
    assert len(x.unique(dim=0)) == 1200, "no recording is there twice"
    assert x.abs().amax(1).min() > 0.01 and x.abs().max() <= 1
    assert (datasets.fsdd(seconds=3.0).tensors[0][:, 8000:] != 0).any(1).sum() == 8


@data
@needs_data
@pytest.mark.parametrize(("part", "characters"), [("small1", 136), ("small2", 156)])
def test_the_characters(part, characters):
    images, alphabets, names = datasets.omniglot(part)
    x, y = images.tensors
    assert x.shape == (20 * characters, 1, 28, 28) and 0 <= x.min() and 0.9 < x.max() <= 1
    assert x.mean().item() == pytest.approx(0.08, abs=0.02), "ink is the smaller part"
    assert len(alphabets) == 5 and len(names) == characters
    assert y[:, 1].bincount().tolist() == [20] * characters
    assert y[:, 2].unique().tolist() == list(range(100)) and torch.equal(y[:, 2] // 20, y[:, 0])
    assert all(names[c].startswith(alphabets[a]) for a, c, _ in y.tolist())
