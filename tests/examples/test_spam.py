"""The example of spam runs; the source knows no text of the target, and nothing is fitted on the target."""

import json
import sys

import numpy
import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("spam")
pytestmark = pytest.mark.data


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["spam.py", "--quick", "--out", str(tmp_path)])
    example.main()
    text = capsys.readouterr().out
    assert all(f"{metric}, Psy to KatyPerry: characters 0." in text for metric in ("balanced accuracy", "F1", "AUC"))
    found = json.loads((tmp_path / "report.json").read_text())
    [target] = found["verdict"]["targets"]
    assert found["quick"] and not found["failed"]["cells"] and len(target["scores"]) == 7
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


def test_no_target_text_is_a_source_text_and_words_come_from_the_source(monkeypatch):
    fitted = []
    plain = example.TfidfVectorizer.fit_transform
    monkeypatch.setattr(example.TfidfVectorizer, "fit_transform", lambda self, x: fitted.extend(x) or plain(self, x))
    directions, fit = [], example.TruncatedSVD.fit
    monkeypatch.setattr(example.TruncatedSVD, "fit", lambda self, X: directions.append(X.shape[0]) or fit(self, X))
    X, y, T, truth, source, target = example.pair("LMFAO to Eminem")
    comments = example.datasets.youtube_spam()["Eminem"]
    assert not set(fitted) & set(comments.texts) and len(fitted) == X.shape[0] == len(y) == 340 - 6
    assert truth.tolist() == comments.labels.tolist() and T.shape[0] == len(target) == 413
    assert directions == [X.shape[0]] and torch.isfinite(target).all() and len(source) == 334


def test_labels_of_the_target_change_no_method_but_the_last(monkeypatch):
    task = "LMFAO to Eminem"
    before = example.characters("characters, self-training", task)
    X, y, T, truth, *dense = example.pair(task)
    monkeypatch.setattr(example, "pair", lambda task: (X, y, T, 1 - truth, *dense))
    example.characters.cache_clear()
    assert numpy.array_equal(before, example.characters("characters, self-training", task))
