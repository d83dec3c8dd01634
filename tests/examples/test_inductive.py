"""The example of inductive transfer runs, goes on where it was stopped, and mixes no settings."""

import json
import shutil
import sys
from dataclasses import replace

import pytest

from tests.examples.loaded import example_of

example = example_of("inductive")
pytestmark = pytest.mark.data


def run(monkeypatch, out, settings):
    monkeypatch.setattr(example, "Settings", lambda **quick: settings)
    monkeypatch.setattr(sys, "argv", ["inductive.py", "--quick", "--out", str(out)])
    example.main()
    return json.loads((out / "report.json").read_text())


def test_quick_run_that_is_stopped_and_goes_on(tmp_path, monkeypatch, capsys):
    few = example.Settings(epochs=((3, 1),), seeds=1, test=2)
    found = run(monkeypatch, tmp_path, few)
    printed = capsys.readouterr().out
    assert printed.count("| from scratch |") == 2 and "its own head used directly: accuracy" in printed
    assert found["quick"] and not found["failed"]["cells"]
    assert [len(target["scores"]) for target in found["verdict"]["targets"]] == [9, 9]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()

    records = sorted((tmp_path / "cells").glob("*/record/record.json"))
    before = {f: f.read_bytes() for f in records}
    shares = [json.loads(b)["curves"] for f, b in before.items() if "interpolated" in str(f)]
    assert len(records) == 18 and [[x for x, _ in next(iter(c.values()))] for c in shares] == [[30], [30]]
    lost = next(f for f in records if "LoRA" in str(f))
    shutil.rmtree(lost.parents[1])
    run(monkeypatch, tmp_path, few)
    assert json.loads(lost.read_text())["scores"] == json.loads(before[lost])["scores"]
    assert all(f.read_bytes() == before[f] for f in records if f != lost), "a run that is there is not repeated"
    with pytest.raises(ValueError, match="differs in"):
        run(monkeypatch, tmp_path, replace(few, test=3))
