"""The first example runs, writes what it says, and mixes no settings."""

import json
import sys

import pytest

from tests.examples.loaded import example_of

example = example_of("digits")


def run(monkeypatch, out, *flags):
    settings, some = example.Settings, (example.BASELINE, "DANN", example.ORACLE)  # methods, for a short test
    monkeypatch.setattr(example, "METHODS", {name: example.METHODS[name] for name in some})
    monkeypatch.setattr(example, "Settings", lambda **quick: settings(**quick | {"steps": 10} if quick else {}))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "argv", ["digits.py", *flags, "--out", str(out)])
    example.main()
    monkeypatch.undo()
    return json.loads((out / "report.json").read_text())


def test_all_methods_make_terms():
    encoder = example.encoders.small_conv()
    head = example.heads.Classifier(encoder, classes=10)
    assert [len(terms(encoder, head)) for terms in example.METHODS.values()] == [0, 1, 1, 1, 1, 0]


def test_quick_run(tmp_path, monkeypatch, capsys):
    facts = run(monkeypatch, tmp_path, "--quick")
    printed = capsys.readouterr().out
    (target,) = facts["verdict"]["targets"]
    assert {len(v) for v in target["scores"].values()} == {2} and len(target["scores"]) == 4
    assert facts["verdict"]["oracle"] == ["target only"] and facts["failed"] == {"cells": []}
    assert "| source only |" in printed and "| no encoder |" in printed
    assert "tensorboard --logdir" in printed.splitlines()[-1]
    page = (tmp_path / "report.html").read_text()
    assert "numbers mean nothing" in printed and "numbers mean nothing" in page and "Layer by layer" in page
    assert "<script" not in page and page.count("<section") == 10
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert len(list((tmp_path / "cells").glob("*/run/events.*"))) == 6
    assert len(list((tmp_path / "tensorboard").glob("*/events.*"))) == 5
    with pytest.raises(ValueError, match="holds an experiment that differs in"):
        run(monkeypatch, tmp_path)
