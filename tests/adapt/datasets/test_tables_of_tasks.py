"""Readers of tables with several tasks."""

import os

import numpy
import pytest
import torch
from scipy.io import savemat

from adapt import datasets

data = pytest.mark.data
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


def write(root, folder, name, **arrays):
    (root / folder).mkdir()
    savemat(root / folder / name, arrays)


def test_sarcos_columns(tmp_path):
    rows = numpy.arange(56.0).reshape(2, 28)
    write(tmp_path, "sarcos_test", "sarcos_inv_test.mat", sarcos_inv_test=rows)
    x, y = datasets.sarcos(tmp_path).tensors
    assert x[1].tolist() == list(range(28, 49)) and y[0].tolist() == list(range(21, 28)) and x.dtype == torch.float32


def cells(arrays):
    made = numpy.empty((1, len(arrays)), dtype=object)
    made[0, :] = arrays
    return made


def test_school_labels(tmp_path):
    sizes = [1 + i % 3 for i in range(139)]
    X = [numpy.full((n, 28), i, dtype="uint8") for i, n in enumerate(sizes)]
    Y = [numpy.arange(n, dtype="uint8")[:, None] for n in sizes]
    write(tmp_path, "school", "school.mat", X=cells(X), Y=cells(Y))
    (x, y), number = datasets.school(tmp_path).pupils.tensors, datasets.school(tmp_path).school
    assert x.shape == (sum(sizes), 28) and y.shape == (sum(sizes), 139)
    assert (~y.isnan()).sum(1).eq(1).all()
    assert torch.equal(x[:, 0].long(), number)
    assert y[number == 2, 2].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("reader", ["sarcos", "school"])
def test_missing_and_torn_files(tmp_path, reader):
    folder, name = {"sarcos": ("sarcos_test", "sarcos_inv_test.mat"), "school": ("school", "school.mat")}[reader]
    with pytest.raises(FileNotFoundError, match="github.com"):
        getattr(datasets, reader)(tmp_path)
    write(tmp_path, folder, name, other=numpy.ones(3))
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        getattr(datasets, reader)(tmp_path)


@data
@needs_data
def test_the_real_tables():
    x, y = datasets.sarcos().tensors
    assert x.shape == (4449, 21) and y.shape == (4449, 7)
    pupils, number = datasets.school()
    y = pupils.tensors[1]
    assert y.shape == (15362, 139) and number.bincount().min() == 22 and number.bincount().max() == 251
    assert y[~y.isnan()].double().mean().item() == pytest.approx(20.597, abs=1e-3)
