"""The example of distances between collections of texts runs; the loss is that of the labels; texts count once."""

import json
import sys

import pytest
import torch

from tests.examples.loaded import example_of

pytest.importorskip("transformers", reason="the extra `text`")
example = example_of("text_distance")
pytestmark = pytest.mark.data


def test_quick_run(tmp_path, monkeypatch, capsys):
    made = torch.Generator().manual_seed(0)
    monkeypatch.setattr(example.encoders, "sentences", lambda texts, folder: torch.randn(len(texts), 8, generator=made))
    monkeypatch.setattr(sys, "argv", ["text_distance.py", "--quick", "--out", str(tmp_path)])
    example.main()
    text = capsys.readouterr().out
    assert text.count(" points: A-distance") == 14 and text.count("rank correlation with the loss") == 4
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["quick"] and len(found) == 17 * 16 + 2 and found["columns"][-1] == "loss"
    assert sum(row[-1] is not None for name, row in found.items() if " to " in name) == 14
    assert (
        found["books to dvd"][:2] == found["dvd to books"][:2] and found["books to dvd"][3] != found["dvd to books"][3]
    )
    assert (tmp_path / "distances.png").read_bytes()[:4] == b"\x89PNG"


def test_collections_hold_each_text_once_without_entities():
    found = example.collections()
    assert len(found) == 17 and all(len(texts) == len(set(texts)) for texts in found.values())
    assert not any("#39;" in text for text in found["AG News"])


def test_without_the_labels_of_the_target_the_loss_is_large(monkeypatch):
    read = example.datasets.sms_spam()
    plain = example.losses(20)["comments", "messages"]
    monkeypatch.setattr(example.datasets, "sms_spam", lambda: read._replace(labels=1 - read.labels))
    assert example.losses(20)["comments", "messages"] > plain
