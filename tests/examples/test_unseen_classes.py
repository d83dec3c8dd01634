"""The example of unseen classes runs, and no own encoder has seen a class of its pairs."""

import json
import sys

import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("unseen_classes")
pytestmark = pytest.mark.data


def test_every_pair_has_an_encoder_that_has_not_seen_the_pair():
    assert len(example.PAIRS) == 39 and ("cat", "dog") in example.PAIRS
    assert all(any(set(pair) <= set(h.split()) for h in example.KNOWN["hidden"]) for pair in example.PAIRS)
    assert all(len(set(h.split()) & set(example.NAMES)) == 4 for h in example.KNOWN["hidden"])
    assert all(set(has) <= set(example.NAMES) for has in example.KNOWN["attributes"].values())
    assert list(example.KNOWN["descriptions"]) == example.NAMES


def test_quick_run(tmp_path, monkeypatch, capsys):
    few, seen = example.Settings(pairs=2, images=8, epochs=1), []
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(example, "Stream", lambda rows, size: seen.append(rows) or example.streams_of(rows, 8))
    monkeypatch.setattr(example, "streams_of", example.adapt.Stream, raising=False)
    letters = lambda texts: torch.tensor([[t.count(c) + 0.1 for c in "aeionstrl"] for t in texts])  # noqa: E731
    monkeypatch.setattr(example.encoders, "sentences", letters)
    monkeypatch.setattr(sys, "argv", ["unseen_classes.py", "--quick", "--out", str(tmp_path)])
    for kept in (example.features, example.images, example.signatures):
        kept.cache_clear()
    example.main()
    printed = capsys.readouterr().out
    assert "encoders of six classes, SAE, attributes: accuracy" in printed and "harmonic mean, constant 0" in printed
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"]
    scores = [target["scores"] for target in found["verdict"]["targets"]]
    assert [len(s) for s in scores] == [6, 6] and all(s["chance"] == [0.5, 0.5] for s in scores)
    rows, labels = seen[0].tensors
    x, y = example.images("train", 8)
    hidden = next(h for h in example.KNOWN["hidden"] if set(example.PAIRS[0]) <= set(h.split()))
    kept = torch.tensor([name not in hidden.split() for name in example.NAMES])[y]
    assert torch.equal(rows, x[kept]) and labels.unique().tolist() == list(range(6))
