"""The first example runs, writes what it says, and goes on with what is there."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*flags):
    command = [sys.executable, str(ROOT / "examples" / "digits.py"), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def test_quick_run(tmp_path):
    out = tmp_path / "digits"
    done = run("--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr
    facts = json.loads((out / "report.json").read_text())
    (target,) = facts["verdict"]["targets"]
    assert {len(v) for v in target["scores"].values()} == {2} and len(target["scores"]) == 7
    assert facts["verdict"]["oracle"] == ["target only"] and facts["failed"] == {"cells": []}
    assert "| source only |" in done.stdout and "tensorboard --logdir" in done.stdout.splitlines()[-1]
    page = (out / "report.html").read_text()
    assert "numbers mean nothing" in done.stdout and "numbers mean nothing" in page
    assert "<script" not in page and page.count("<section") == 10
    assert (out / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert len(list((out / "cells").glob("*/run/events.*"))) == 12
    assert len(list((out / "tensorboard").glob("*/events.*"))) == 8
    assert "| no encoder |" in done.stdout
    again = run("--quick", "--out", str(out))
    assert again.returncode == 0 and json.loads((out / "report.json").read_text()) == facts
    other = run("--out", str(out))
    assert other.returncode == 1 and "holds an experiment that differs in" in other.stderr
