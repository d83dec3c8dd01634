"""The example with several labels per row runs, and compares each task."""

import json
import sys

import pytest

from tests.examples.loaded import example_of

example = example_of("several_labels")
pytestmark = pytest.mark.data


def no_encoder(train, test):
    """In place of half a minute for 136 characters and 100 drawers."""
    assert len(train) < len(test) and train.tensors[1].ndim == 1 and not train.tensors[0].mean().abs() > 1e-5
    return lambda cell: example.report.Outcome({"accuracy": example.heads.proportion("accuracy", test.tensors[1] == 1)})


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example.report, "no_encoder", no_encoder)
    few = example.Settings(seeds=1, speech_steps=3, characters_steps=3)
    two = {name: example.BALANCES[name] for name in (example.DEFAULT, "UPGrad")}  # for a short test
    monkeypatch.setattr(example, "BALANCES", two)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(sys, "argv", ["several_labels.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert printed.count("| UPGrad |") == 2 * 2 + 1 + 3 * 2 + 1  # two baselines per task, and delta-m
    assert printed.count("| the drawer apart |") == 3 * 2 + 1
    assert printed.count("| no encoder |") == 2 * 2 + 1 + 3 * 2 + 1
    assert printed.count("at the features, the tasks' gradients differ in length") == 2
    for name, tasks in {"speech": ["speaker"], "characters": ["character", "drawer"]}.items():
        found = json.loads((tmp_path / name / "report.json").read_text())
        assert found["quick"] and list(found["scores"]["scores"]) == [f"{task} accuracy" for task in tasks]
        assert (tmp_path / name / "report.png").read_bytes()[:4] == b"\x89PNG"
        assert (tmp_path / name / "report.html").exists() and list((tmp_path / name / "tensorboard").rglob("events.*"))
    scores = found["scores"]["scores"]["drawer accuracy"][0]["scores"]
    assert scores["the drawer apart"] == scores[example.SINGLE], "a network of its own, as in single-task"
