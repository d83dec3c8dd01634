"""Readers of images: a missing or torn set is a clear error; with ADAPT_DATA set, they read what the sources say."""

import gzip
import inspect
import io
import os
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from adapt import datasets, encoders
from adapt.datasets.files import ORIGINS

READERS = [
    datasets.amazon_reviews_text,
    datasets.cifar10_jpg,
    datasets.fsdd,
    datasets.heart_disease,
    datasets.mnist,
    datasets.mnist_m,
    datasets.mnist_usps_jda,
    datasets.office_caltech10_surf,
    datasets.omniglot,
    datasets.semeion,
    datasets.usps,
    datasets.wisdm_transformed,
]

data = pytest.mark.data
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


def test_no_folder(monkeypatch):
    monkeypatch.delenv("ADAPT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="set the environment variable ADAPT_DATA"):
        datasets.mnist()


@pytest.mark.parametrize("reader", READERS)
def test_missing_file_says_what_to_fetch(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=f"expected the file `{tmp_path}.*it is not there.*fetch .*data.md"):
        reader(root=tmp_path)


def test_every_set_is_on_the_page():
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    assert [name for name in ORIGINS if f"| `{name}` |" not in page] == []
    assert [r.__name__ for r in READERS if f"`datasets.{r.__name__}`" not in page] == []
    assert all("root" in inspect.signature(reader).parameters for reader in READERS)


def write_idx(path, array):
    path.parent.mkdir(exist_ok=True)
    sizes = numpy.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()))


def write_npz(path, **arrays):
    path.parent.mkdir(exist_ok=True)
    numpy.savez(path, **arrays)


def write_digits(root):
    """Three digits of each look; pixel values that tell rows, columns and channels apart."""
    labels, generator = numpy.array([0, 9, 5], numpy.uint8), numpy.random.default_rng(0)
    images = {size: generator.integers(0, 256, (3, *size), numpy.uint8) for size in [(28, 28), (16, 16), (32, 32, 3)]}
    write_idx(root / "mnist_t10k" / "t10k-images-idx3-ubyte.gz", images[28, 28])
    write_idx(root / "mnist_t10k" / "t10k-labels-idx1-ubyte.gz", labels)
    small = images[16, 16]
    write_npz(root / "usps" / "usps.npz", x_train=small, y_train=labels, x_test=small[::-1], y_test=labels)
    write_npz(root / "semeion" / "semeion.npz", x=small % 2, y=labels)
    write_npz(root / "mnist_m" / "mnist_m_test5000.npz", x=images[32, 32, 3], y=labels)
    return images, labels


def test_values_of_small_files(tmp_path):
    images, labels = write_digits(tmp_path)
    expected = {
        datasets.mnist: images[28, 28][:, None] / 255,
        datasets.usps: images[16, 16][:, None] / 255,
        datasets.semeion: images[16, 16][:, None] % 2,
        datasets.mnist_m: images[32, 32, 3].transpose(0, 3, 1, 2) / 255,
    }
    for reader, values in expected.items():
        x, y = reader(root=tmp_path).tensors
        assert x.dtype == torch.float32 and x.is_contiguous() and numpy.array_equal(x, values.astype("float32"))
        assert y.dtype == torch.int64 and y.tolist() == labels.tolist()
    assert torch.equal(datasets.usps("test", root=tmp_path)[0][0], datasets.usps(root=tmp_path)[2][0])


def test_small_jpegs(tmp_path):
    (tmp_path / "cifar10_jpg").mkdir()
    with zipfile.ZipFile(tmp_path / "cifar10_jpg" / "cifar10_subset.zip", "w") as archive:
        for split, name, grey in [("train", "cat", 0), ("train", "airplane", 255), ("test", "truck", 255)]:
            file = io.BytesIO()
            Image.new("RGB", (32, 32), (grey,) * 3).save(file, "JPEG")
            archive.writestr(f"set/{split}/{name}/1.jpg", file.getvalue())
    x, y = datasets.cifar10_jpg(root=tmp_path).tensors
    assert y.tolist() == [0, 3] and x.mean((1, 2, 3)).tolist() == [1, 0]
    assert datasets.cifar10_jpg("test", root=tmp_path).tensors[1].tolist() == [9]


@pytest.mark.parametrize("reader", [datasets.mnist, datasets.usps, datasets.semeion, datasets.mnist_m])
@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_a_torn_file_is_named(tmp_path, reader, damage):
    write_digits(tmp_path)
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and "labels" not in p.name):
        raw = path.read_bytes()
        path.write_bytes({"cut": raw[: len(raw) // 2], "empty": b"", "foreign": b"hello world" * 100}[damage])
    with pytest.raises(ValueError, match="cannot be read as .*complete"):
        reader(root=tmp_path)


def test_other_content_is_named(tmp_path):
    write_digits(tmp_path)
    path = tmp_path / "semeion" / "semeion.npz"
    for arrays, message in [
        ({"x": numpy.zeros((2, 16, 16)), "y": numpy.zeros(3, int)}, "2 rows and labels of shape"),
        ({"x": numpy.zeros((2, 16, 16)), "y": numpy.array([0, 10])}, "labels 0 to 10"),
        ({"x": numpy.zeros((0, 16, 16)), "y": numpy.zeros(0, int)}, "0 rows"),
        ({"images": numpy.zeros((2, 16, 16))}, "npz file with x, y"),
    ]:
        write_npz(path, **arrays)
        with pytest.raises(ValueError, match=f"semeion.npz` cannot be read.*{message}"):
            datasets.semeion(root=tmp_path)
    write_idx(tmp_path / "mnist_t10k" / "t10k-labels-idx1-ubyte.gz", numpy.zeros(4, numpy.uint8))
    with pytest.raises(ValueError, match="3 rows and labels of shape \\(4,\\)"):
        datasets.mnist(root=tmp_path)


def test_an_error_of_the_machine_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    write_digits(tmp_path)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(numpy, "load", full)
    with pytest.raises(MemoryError):
        datasets.usps(root=tmp_path)


@pytest.mark.parametrize("reader", [datasets.usps, datasets.cifar10_jpg])
def test_unknown_split(reader):
    with pytest.raises(ValueError, match="`split` must be"):
        reader("validation")


@data
@needs_data
@pytest.mark.parametrize(
    ("read", "rows", "shape"),
    [
        (datasets.mnist, 10_000, (1, 28, 28)),
        (datasets.usps, 7_291, (1, 16, 16)),
        (lambda: datasets.usps("test"), 2_007, (1, 16, 16)),
        (datasets.mnist_m, 5_000, (3, 32, 32)),
        (datasets.semeion, 1_593, (1, 16, 16)),
    ],
)
def test_digits_of_the_benchmarks(read, rows, shape):
    x, y = read().tensors
    assert x.shape == (rows, *shape) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert 0 <= x.min() and x.max() <= 1 and x.max() > 0.99
    assert y.bincount(minlength=10).min() > 0.05 * rows and len(y.bincount()) == 10


@data
@needs_data
def test_mnist_m_shows_the_digits_of_mnist():
    (x, y), (photo, labels) = datasets.mnist()[:5000], datasets.mnist_m().tensors
    assert torch.equal(y, labels)
    # |photo - digit|: strokes and paper of the same digit differ in brightness, those of another digit's image do not
    grey, ink = photo.mean(1)[:, 2:30, 2:30], x[:, 0] > 0.5
    assert contrast(grey, ink) > 1.5 * contrast(grey, ink.roll(1, 0))
    fair = TensorDataset(*datasets.mnist()[5000:])
    assert len(fair) == 5000 and not torch.equal(fair.tensors[1], labels)


def contrast(grey, ink):
    """Mean over images of | mean brightness on the ink - beside it |."""
    on = (grey * ink).sum((1, 2)) / ink.sum((1, 2))
    off = (grey * ~ink).sum((1, 2)) / (~ink).sum((1, 2))
    return (on - off).abs().mean()


@data
@needs_data
@pytest.mark.parametrize(
    ("depth", "file", "accuracy"),
    [
        (20, "resnet20-12fca82f.th", 0.814),
        (32, "resnet32-d509ac18.th", 0.838),
        (44, "resnet44-014dd654.th", 0.822),
        (56, "resnet56-4bfd9763.th", 0.832),
    ],
)
def test_the_cifar_resnets_reach_their_accuracy(depth, file, accuracy):
    weights = encoders.read_weights(datasets.data_file("resnet_cifar10_weights", file))
    encoder = encoders.cifar_resnet(depth)
    match = encoders.load_weights(encoder.body, weights, strict=False)
    assert not match.missing and set(match.unexpected) == {"linear.weight", "linear.bias"}
    x, y = datasets.cifar10_jpg("test").tensors
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        features = torch.cat([encoder.eval()(part) for part in ((x - mean) / deviation).split(250)])
    logits = features @ weights["linear.weight"].T + weights["linear.bias"]
    assert len(y) == 2000 and (logits.argmax(1) == y).float().mean().item() == pytest.approx(accuracy, abs=0.002)
