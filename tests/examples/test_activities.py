"""The example of the activities runs; a user is never on both sides; the user's own scale reads no label."""

import json
import sys

import numpy as np
import pytest

from adapt import report
from tests.examples.loaded import example_of


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    example = example_of("activities")
    few = example.Settings(seeds=1, folds=2, trees=1)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(sys, "argv", ["activities.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| 10 labels | network |") == 3
    assert not json.loads((tmp_path / "report.json").read_text())["failed"]["cells"]
    assert (tmp_path / "report.png").exists() and (tmp_path / "report.html").exists()


@pytest.mark.data
def test_each_window_is_answered_by_a_model_of_other_users():
    example = example_of("activities")
    prepared, y, user = example.windows()
    assert (
        prepared["plain"].shape == (5418, 46) and prepared["scaled"].shape == (5418, 89) and np.unique(user).size == 36
    )
    rows = user == 7
    own, raw = prepared["scaled"][rows, 46:], prepared["plain"][rows, :33]
    assert np.isfinite(own).all() and np.allclose(own[:, :33].mean(0), 0, atol=1e-4)
    assert np.allclose(own[:, :33], (raw - raw.mean(0)) / (raw.std(0) + 1e-3), atol=1e-3)
    learned = []

    class Model:
        def __init__(self, trees):
            pass

        def fit(self, x, labels):
            learned.append(len(x))
            self.mean = x.mean()
            return self

        def predict_proba(self, x):
            return np.full((len(x), 6), self.mean)

    example.MODELS["spy"] = Model
    found = example.others("spy", "plain", 0, example.Settings(folds=12))
    for name in np.unique(user):
        assert len(np.unique(found[user == name])) == 1
    assert len(learned) == 12 and sum(len(user) - n for n in learned) == len(user)


@pytest.mark.data
def test_a_labelled_window_is_no_test_with_and_without_labels(tmp_path, monkeypatch):
    example = example_of("activities")
    settings = example.Settings(folds=2, trees=2)
    prepared, y, user = example.windows()
    monkeypatch.setattr(example, "others", lambda *_: np.eye(6)[y])
    found = [
        example.scored(report.Cell("random forest", task, 0, None, None, tmp_path), settings)
        for task in ("no label", "10 labels")
    ]
    assert found[0]["accuracy"].value == 1 and found[0]["macro F1"] == 1 and found[1]["accuracy"].value > 0.9
    assert [each["accuracy"].n for each in found] == [36, 36]
