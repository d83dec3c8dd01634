"""The example of text classification runs, with and without a sentence encoder."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch

spec = importlib.util.spec_from_file_location("text_example", Path(__file__).parents[2] / "examples" / "text.py")
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets"),
]


def run(monkeypatch, out):
    monkeypatch.setattr(sys, "argv", ["text.py", "--quick", "--out", str(out)])
    example.main()
    return json.loads((out / "results.json").read_text())


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example.encoders, "sentences", lambda texts, folder: torch.randn(len(texts), 5))
    found = run(monkeypatch, tmp_path)
    assert [len(scores) for scores in found["accuracy"].values()] == [4, 4]
    assert {len(v) for scores in found["accuracy"].values() for v in scores.values()} == {2}
    assert len(found["by_product"]["3"]["from scratch"]) == 4
    assert 0.3 < found["coverage"]["books"] < 0.7, "punctuation counts as words"
    assert (tmp_path / "text.png").read_bytes()[:4] == b"\x89PNG"
    assert "| MiniLM, frozen |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="another run"):
        run(monkeypatch, tmp_path)


def test_without_the_extra(tmp_path, monkeypatch, capsys):
    def absent(texts, folder):
        raise ImportError("not installed")

    monkeypatch.setattr(example.encoders, "sentences", absent)
    found = run(monkeypatch, tmp_path)
    assert list(found["accuracy"]["3"]) == ["from scratch", "word vectors, frozen", "word vectors, tuned"]
    assert "without MiniLM" in capsys.readouterr().err


def test_rows_to_learn_from_are_not_those_of_the_test():
    labels, pool = torch.arange(2).repeat(20), torch.arange(10, 40)
    rows = example.drawn(labels, pool, 4, seed=1)
    assert labels[rows].bincount().tolist() == [4, 4] and rows.min() >= 10 and len(rows.unique()) == 8
