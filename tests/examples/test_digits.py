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
    results = json.loads((out / "results.json").read_text())
    assert {len(v) for v in results["accuracy"].values()} == {2} and len(results["accuracy"]) == 6
    assert "| source only |" in done.stdout and "tensorboard --logdir" in done.stdout.splitlines()[-1]
    assert (out / "digits.png").read_bytes()[:4] == b"\x89PNG"
    assert len(list((out / "tensorboard").glob("*/seed-*/events.*"))) == 12
    again = run("--quick", "--out", str(out))
    assert again.returncode == 0 and json.loads((out / "results.json").read_text()) == results
    other = run("--out", str(out))
    assert other.returncode == 1 and "holds a run of 40 planned steps, and this run has 600" in other.stderr
