"""The example of inductive transfer runs, goes on where it was stopped, and mixes no settings."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location(
    "inductive_example", Path(__file__).parents[2] / "examples" / "inductive.py"
)
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)  # in this process: another would import torch again
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets"),
]


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["inductive.py", "--threads", "1", *flags])
    example.main()


def test_quick_run_that_is_stopped_and_goes_on(tmp_path, monkeypatch, capsys):
    out = tmp_path / "inductive"
    run(monkeypatch, "--quick", "--out", str(out))
    printed = capsys.readouterr().out
    assert printed.count("| from scratch |") == 2 and printed.count("interpolated fine-tuning went") == 2
    assert json.loads((out / "results.json").read_text())["direct"] > 0.6
    files = sorted((out / "runs").rglob("*.json"))
    assert len(files) == 2 * 2 * 8
    assert (out / "inductive.png").read_bytes()[:4] == b"\x89PNG"

    before = {f: f.read_bytes() for f in files}
    lost = next(f for f in files if "LoRA" in f.name)
    lost.unlink()
    run(monkeypatch, "--quick", "--out", str(out))
    assert json.loads(lost.read_text())["accuracy"] == json.loads(before[lost])["accuracy"]
    assert all(f.read_bytes() == before[f] for f in files if f != lost), "a run that is there is not repeated"
    with pytest.raises(SystemExit, match="other settings"):
        run(monkeypatch, "--out", str(out))
