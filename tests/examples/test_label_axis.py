"""The example of the label axis runs; methods without labels read no label, and names are the probe without labels."""

import json
import sys

import numpy
import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("label_axis")
pytestmark = pytest.mark.data
Few = example.Settings


def letters(texts, folder=None):
    """Features without an encoder: the shares of letters, and a word of each class."""
    words = ("president", "team", "company", "computer")
    rows = [[t.lower().count(w) * 3.0 for w in words] + [t.count(c) / len(t) for c in "abcdefgh"] for t in texts]
    return torch.nn.functional.normalize(torch.tensor(rows) + 0.01, dim=1)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(example.encoders, "sentences", letters)
    for kept in (example.accuracy, example.news, example.vectors_of):
        kept.cache_clear()


def test_quick_run(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "Settings", lambda **quick: Few(labels=(1,), seeds=2, texts=80))
    monkeypatch.setattr(sys, "argv", ["label_axis.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert "1 labels of each class, mean of 4 wordings" in printed and "bare names [" in printed
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"]
    assert [target["task"] for target in found["verdict"]["targets"]] == list(example.WORDINGS)
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("report.png", "axis.png"))


def test_labels_are_read_only_where_a_method_has_labels(small, monkeypatch):
    texts, y, x = example.news(200)
    first = {m: example.accuracy(m, "keywords", 0, 0, 200).value for m in (example.NAMES, example.UNLABELLED)}
    pool, test = torch.randperm(200, generator=torch.Generator().manual_seed(0)).chunk(2)
    turned = y.clone()
    turned[pool] = (y[pool] + 1) % 4
    for kept in (example.accuracy, example.news):
        kept.cache_clear()
    monkeypatch.setattr(example, "news", lambda count: (texts, turned, x))
    again = {m: example.accuracy(m, "keywords", 0, 0, 200).value for m in (example.NAMES, example.UNLABELLED)}
    assert again == first
    names = (x[test] @ example.vectors_of("keywords").T).argmax(1) == y[test]
    assert first[example.NAMES] == pytest.approx(names.float().mean().item())
    ridge = example.accuracy(example.RIDGE, "", 4, 0, 200).value
    monkeypatch.setattr(example, "news", lambda count: (texts, y, x))
    example.accuracy.cache_clear()
    assert example.accuracy(example.RIDGE, "", 4, 0, 200).value > ridge
    assert numpy.isfinite(ridge)
