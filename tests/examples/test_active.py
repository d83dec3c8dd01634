"""The example of active learning runs, and its warm start reads the labels of the source alone."""

import sys

import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("active")


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    asked = []

    def sentences(texts, folder):
        asked.append(len(texts))
        return torch.randn(len(texts), 6, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(example, "STRATEGIES", ["random", "margin"])
    monkeypatch.setattr(example.encoders, "sentences", sentences)
    monkeypatch.setattr(sys, "argv", ["active.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert asked == [60] * 4, "a smoke run encodes no more texts than it uses"
    assert printed.count("| margin |") == 2 * (4 + 2) + 1 and "up to two labels for each class" in printed
    assert (tmp_path / "active.png").read_bytes()[:4] == b"\x89PNG"


def test_features_and_labels_stay_together(monkeypatch):
    monkeypatch.setattr(example.encoders, "sentences", lambda texts, folder: torch.tensor([[float(t)] for t in texts]))
    x, y = example.product([str(i) for i in range(9)], torch.arange(9), 7, None)
    assert (
        len(y) == 7 and torch.allclose(x.squeeze(1) + y.float().mean(), y.float()) and not torch.equal(y, y.sort()[0])
    )


def test_the_warm_start_is_the_classifier_of_the_source(monkeypatch):
    g = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2
    x = torch.randn(60, 4, generator=g) + 3.0 * torch.eye(4)[y]
    settings = example.Settings(seeds=1, rounds=1, warm=2)
    monkeypatch.setattr(example, "STRATEGIES", ["random"])
    right = example.curves((x, y), (x, y), settings, True)
    wrong = example.curves((x, 1 - y), (x, y), settings, True)
    assert right.labels == (0, 2) and right.accuracy["random"][0, 0] > 0.8 > 0.2 > wrong.accuracy["random"][0, 0]
