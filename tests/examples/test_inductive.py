"""The example of inductive transfer runs, goes on where it was stopped, and mixes no settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets"),
]


def run(*flags):
    command = [sys.executable, str(ROOT / "examples" / "inductive.py"), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def test_quick_run_that_is_stopped_and_goes_on(tmp_path):
    out = tmp_path / "inductive"
    flags = ("--quick", "--threads", "1", "--out", str(out))
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| from scratch |") == 2 and done.stdout.count("The ladder chose") == 2
    results = json.loads((out / "results.json").read_text())
    assert results["direct"] > 0.6
    files = list((out / "runs").rglob("*.json"))
    assert len(files) == 2 * 2 * 8
    assert (out / "inductive.png").read_bytes()[:4] == b"\x89PNG"
    lost = next(f for f in files if "probe" in f.name)
    before = json.loads(lost.read_text())
    lost.unlink()
    again = run(*flags)
    assert again.returncode == 0 and "1/1" in again.stderr
    assert json.loads(lost.read_text())["accuracy"] == before["accuracy"]
    other = run("--out", str(out))
    assert other.returncode == 1 and "other settings" in other.stderr
