"""The method without an encoder inside an experiment."""

import numpy
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression
from torch.utils.data import Subset, TensorDataset

from adapt import datasets, report
from adapt.report import Cell, Data


def cell(tmp_path, data=None, seed=0):
    return Cell("no encoder", "", seed, None, data, tmp_path)


def three_digits():
    x, y = load_digits(n_class=3, return_X_y=True)
    order = numpy.random.default_rng(0).permutation(len(y))
    return x[order] + 6 * numpy.random.default_rng(1).standard_normal(x.shape), y[order]


def digits():
    x, y = three_digits()
    rows = TensorDataset(torch.from_numpy(x).float(), torch.from_numpy(y))
    return Subset(rows, range(150)), Subset(rows, range(150, 537))


def test_logistic_regression_on_pixels(tmp_path):
    train, test = digits()
    found = report.no_encoder(train)(cell(tmp_path, Data(test=test)))
    score, rows = found.scores["accuracy"], found.rows
    x, y = three_digits()
    known = LogisticRegression(C=0.1, max_iter=500).fit(x[:150] / 16, y[:150]).score(x[150:] / 16, y[150:])
    assert score.n == 387 and 0.9 < known < 1 and abs(score.value - known) < 0.03
    assert rows.outputs.shape == (387, 3) and rows.features.shape == (387, 64)
    assert score.value == pytest.approx((rows.outputs.argmax(1) == rows.labels).mean())


def test_ridge_regression_on_columns(tmp_path):
    x, y = load_diabetes(return_X_y=True)
    rows = TensorDataset(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    train, test = Subset(rows, range(300)), Subset(rows, range(300, 442))
    found = report.no_encoder(train, test)(cell(tmp_path))
    error = next(iter(found.scores.values()))
    assert not error.higher_is_better and found.rows.outputs.shape == (142,)
    assert error.value == pytest.approx(numpy.abs(found.rows.outputs - found.rows.labels).mean(), rel=1e-5)
    assert error.value < 0.8 * numpy.abs(y[300:] - numpy.median(y[:300])).mean()


def test_training_rows_of_a_cell_and_texts(tmp_path):
    words = {0: ["good film", "nice film", "good plot"] * 4, 1: ["bad film", "poor film", "bad plot"] * 4}
    train = datasets.texts(words[0] + words[1], [0] * 12 + [1] * 12)
    asked = []

    def rows(cell):
        asked.append(cell.seed)
        return train

    test = datasets.texts(["a good story", "a bad story"], [0, 1])
    found = report.no_encoder(rows)(cell(tmp_path, Data(test=test), seed=7))
    assert found.scores["accuracy"].value == 1 and asked == [7]


def test_a_missing_class_is_left_out(tmp_path):
    train, test = digits()
    x, y = train.dataset.tensors
    labels = y[:150].clone()
    labels[:20] = -1
    found = report.no_encoder(TensorDataset(x[:150], labels), test)(cell(tmp_path))
    assert found.scores["accuracy"].value > 0.8


def test_in_an_experiment(tmp_path):
    train, test = digits()
    result = report.experiment(
        tmp_path / "grid", {"no encoder": report.no_encoder(train), "chance": lambda cell: {"accuracy": 0.1}}, seeds=2,
        baseline="no encoder", data=Data(test=test), progress=False,
    )  # fmt: skip
    assert not result.failed
    assert len(result.scores()["no encoder"]) == 2


def test_what_is_missing_is_told(tmp_path):
    train, _ = digits()
    with pytest.raises(ValueError, match="no test rows"):
        report.no_encoder(train)(cell(tmp_path))
    with pytest.raises(ValueError, match="`test` must have labels"):
        report.no_encoder(train, TensorDataset(torch.ones(3, 64)))(cell(tmp_path))
