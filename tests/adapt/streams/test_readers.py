"""Readers: a missing set is a clear error; with ADAPT_DATA set, what they read is what the sources say."""

import gzip
import os

import pytest
import torch

from adapt import encoders, streams

data = pytest.mark.data
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


def test_no_folder(monkeypatch):
    monkeypatch.delenv("ADAPT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="set the environment variable ADAPT_DATA"):
        streams.mnist()


@pytest.mark.parametrize("reader", [streams.mnist, streams.usps, streams.mnist_m, streams.cifar10_jpg])
def test_missing_file(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match="it is not there"):
        reader(root=tmp_path)


def test_not_an_idx_file(tmp_path):
    (tmp_path / "mnist_t10k").mkdir()
    with gzip.open(tmp_path / "mnist_t10k" / "t10k-images-idx3-ubyte.gz", "wb") as file:
        file.write(b"hello world")
    with pytest.raises(ValueError, match="not an IDX file"):
        streams.mnist(root=tmp_path)


@pytest.mark.parametrize("reader", [streams.usps, streams.cifar10_jpg])
def test_unknown_split(reader):
    with pytest.raises(ValueError, match="`split` must be"):
        reader("validation")


@data
@needs_data
@pytest.mark.parametrize(
    ("read", "rows", "shape"),
    [
        (streams.mnist, 10_000, (1, 28, 28)),
        (streams.usps, 7_291, (1, 16, 16)),
        (lambda: streams.usps("test"), 2_007, (1, 16, 16)),
        (streams.mnist_m, 5_000, (3, 32, 32)),
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
    assert torch.equal(streams.mnist().tensors[1][:5000], streams.mnist_m().tensors[1])


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
    weights = encoders.read_weights(streams.data_file("resnet_cifar10_weights", file))
    encoder = encoders.cifar_resnet(depth)
    match = encoders.load_weights(encoder.body, weights, strict=False)
    assert not match.missing and set(match.unexpected) == {"linear.weight", "linear.bias"}
    x, y = streams.cifar10_jpg("test").tensors
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        features = torch.cat([encoder.eval()(part) for part in ((x - mean) / deviation).split(250)])
    logits = features @ weights["linear.weight"].T + weights["linear.bias"]
    assert len(y) == 2000 and (logits.argmax(1) == y).float().mean().item() == pytest.approx(accuracy, abs=0.002)
