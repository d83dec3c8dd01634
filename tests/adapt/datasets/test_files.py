"""All readers: a missing, torn or foreign file is a clear error, and docs/data.md describes every set."""

import inspect
from pathlib import Path

import numpy
import pytest

from adapt import datasets, store
from adapt.datasets.files import ORIGINS
from tests.adapt.datasets.small_files import write_digits, write_idx, write_npz

READERS = [
    datasets.amazon_reviews_text,
    datasets.cifar10_jpg,
    datasets.fsdd,
    datasets.heart_disease,
    datasets.mnist,
    datasets.mnist_m,
    datasets.mnist_usps_jda,
    datasets.mrpc,
    datasets.multi30k,
    datasets.office_caltech10_surf,
    datasets.olivetti,
    datasets.omniglot,
    datasets.omniglot_runs,
    datasets.sarcos,
    datasets.school,
    datasets.semeion,
    datasets.sms_spam,
    datasets.ud_pud,
    datasets.usps,
    datasets.wisdm_transformed,
    datasets.youtube_spam,
]


def test_no_folder(monkeypatch):
    monkeypatch.delenv("ADAPT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="set the environment variable ADAPT_DATA"):
        datasets.mnist()


@pytest.mark.parametrize("reader", READERS)
def test_missing_file_says_what_to_fetch(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=f"expected the file `{tmp_path}.*found none.*fetch .*data.md"):
        reader(root=tmp_path)


def test_every_set_is_on_the_page():
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    assert [name for name in ORIGINS if f"| `{name}` |" not in page] == []
    assert [r.__name__ for r in READERS if f"`datasets.{r.__name__}`" not in page] == []
    assert all("root" in inspect.signature(reader).parameters for reader in READERS)


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

    monkeypatch.setattr(store, "arrays", full)
    with pytest.raises(MemoryError):
        datasets.usps(root=tmp_path)
