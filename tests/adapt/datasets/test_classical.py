"""Readers of the classical feature sets: the published rows of nearest neighbours come out to the last digit."""

import numpy
import pytest
import scipy.io
import torch

from adapt import datasets

# 1-NN on SURF, as in the tables of TCA, JDA and MEDA; average 31.4
OFFICE_CALTECH10 = {
    ("caltech", "amazon"): 23.70,
    ("caltech", "webcam"): 25.76,
    ("caltech", "dslr"): 25.48,
    ("amazon", "caltech"): 26.00,
    ("amazon", "webcam"): 29.83,
    ("amazon", "dslr"): 25.48,
    ("webcam", "caltech"): 19.86,
    ("webcam", "amazon"): 22.96,
    ("webcam", "dslr"): 59.24,
    ("dslr", "caltech"): 26.27,
    ("dslr", "amazon"): 28.50,
    ("dslr", "webcam"): 63.39,
}


def nearest(source, target):
    """Accuracy in % of the label of the nearest source row."""
    distance = torch.cdist(target.tensors[0].double(), source.tensors[0].double())
    return 100 * (source.tensors[1][distance.argmin(1)] == target.tensors[1]).double().mean().item()


@pytest.mark.data
def test_published_cells_of_office_caltech10():
    domains = datasets.office_caltech10_surf()
    assert [len(d) for d in domains] == [958, 1123, 157, 295]
    cells = {pair: nearest(*(getattr(domains, name) for name in pair)) for pair in OFFICE_CALTECH10}
    assert {pair: round(cell, 2) for pair, cell in cells.items()} == OFFICE_CALTECH10
    assert round(sum(cells.values()) / 12, 1) == 31.4


@pytest.mark.data
def test_published_cells_of_mnist_and_usps():
    mnist, usps = datasets.mnist_usps_jda()
    assert (len(mnist), len(usps)) == (2000, 1800)
    assert round(nearest(mnist, usps), 2) == 65.94 and round(nearest(usps, mnist), 2) == 44.70


def write_office(root, labels=None, **other):
    folder = root / "office_caltech10_surf"
    folder.mkdir(exist_ok=True)
    generator, written = numpy.random.default_rng(0), {}
    for name, rows in zip(datasets.OfficeCaltech._fields, (5, 4, 3, 6), strict=True):
        counts = generator.integers(0, 9, (rows, 8), numpy.uint8)
        y = numpy.arange(1, rows + 1, dtype=numpy.uint8)[:, None] if labels is None else labels
        scipy.io.savemat(folder / f"{name}_SURF_L10.mat", other or {"fts": counts, "labels": y}, do_compression=True)
        written[name] = counts
    return written


def test_rows_sum_to_one_then_columns_are_standard(tmp_path):
    counts = write_office(tmp_path)
    for name, domain in datasets.office_caltech10_surf(tmp_path)._asdict().items():
        x, y = domain.tensors
        frequencies = counts[name] / counts[name].sum(1, keepdims=True)
        expected = (frequencies - frequencies.mean(0)) / frequencies.std(0)
        assert x.dtype == torch.float32 and numpy.allclose(x, expected, atol=1e-6)
        assert y.tolist() == list(range(len(x)))  # 1 to 10 became 0 to 9
    raw = datasets.office_caltech10_surf(tmp_path, raw=True)
    assert all(numpy.array_equal(getattr(raw, name).tensors[0], counts[name]) for name in counts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": numpy.array([[1], [2]])}, "5 rows and labels"),
        ({"labels": numpy.array([[0], [1], [2], [3], [4]])}, "labels -1 to 3"),
        ({"features": numpy.zeros((2, 8))}, "fts"),
    ],
)
def test_other_content_is_named(tmp_path, content, message):
    write_office(tmp_path, **content)
    with pytest.raises(ValueError, match=f"amazon_SURF_L10.mat` cannot be read.*{message}"):
        datasets.office_caltech10_surf(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_torn_matlab_file_is_named(tmp_path, share):
    write_office(tmp_path)
    path = tmp_path / "office_caltech10_surf" / "dslr_SURF_L10.mat"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="dslr_SURF_L10.mat` cannot be read as a MATLAB 5 file"):
        datasets.office_caltech10_surf(tmp_path)


def test_rows_of_length_one(tmp_path):
    folder = tmp_path / "mnist_usps_jda"
    folder.mkdir()
    x, y = numpy.array([[3.0, 4.0], [0.0, 2.0]], "float32"), numpy.array([1, 9])
    numpy.savez(folder / "mnist_usps_jda.npz", x_mnist=x, y_mnist=y, x_usps=2 * x, y_usps=y[::-1])
    mnist, usps = datasets.mnist_usps_jda(tmp_path)
    assert mnist.tensors[0].tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 1]]
    assert torch.equal(usps.tensors[0], mnist.tensors[0]) and usps.tensors[1].tolist() == [9, 1]
    assert datasets.mnist_usps_jda(tmp_path, raw=True).usps.tensors[0].tolist() == (2 * x).tolist()
    numpy.savez(folder / "mnist_usps_jda.npz", x_mnist=x, y_mnist=y)
    with pytest.raises(ValueError, match="mnist_usps_jda.npz` cannot be read as an npz file with x_usps, y_usps"):
        datasets.mnist_usps_jda(tmp_path)
