"""The example of clusters runs; no label reaches the encoder or a cluster."""

import json
import sys

import pytest
import torch

from adapt import report
from tests.examples.loaded import example_of

example = example_of("clusters")
pytestmark = pytest.mark.data
FEW = example.Settings(seeds=1, epochs=1, rows=96, texts=60)


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "Settings", lambda **quick: FEW)
    monkeypatch.setattr(sys, "argv", ["clusters.py", "--quick", "--out", str(tmp_path)])
    monkeypatch.setattr(example, "CLASSES", {"USPS": 10, "Semeion": 10})  # MiniLM takes seconds
    example.main()
    printed = capsys.readouterr().out
    assert printed.count("| spectral |") == 2 and printed.count(" classes: ") == 2
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


def test_words_of_news_are_clustered_without_an_encoder(tmp_path):
    cell = report.Cell(example.PLAIN, example.NEWS, 0, None, report.Data(), tmp_path)
    assert set(example.clustered(cell, FEW).scores) == {"ARI", "NMI", "accuracy"}
    features, labels = example.rows_of(example.NEWS, example.PLAIN, 0, FEW)
    assert len(features) == len(labels) == 60 and torch.allclose(features.norm(dim=1).max(), torch.tensor(1.0).double())


def test_digits_have_one_size_and_augmentation_keeps_the_size():
    for digits in (example.datasets.usps("test"), example.datasets.mnist_m(), example.datasets.mnist()):
        x = example.grey(digits, FEW).tensors[0]
        assert x.shape == (96, 1, 28, 28) and 0 <= x.min() and x.max() <= 1
        assert example.augment(x[0]).shape == (1, 28, 28)
