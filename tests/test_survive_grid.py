"""A sample of `tests/survive_grid.py`: killed workers change no number and lose no finished cell."""

import dataclasses
import subprocess
import sys
from pathlib import Path

from adapt import report
from adapt.heads import Score
from tests import survive_grid


def test_a_killed_worker_changes_no_number():
    done = subprocess.run(
        [sys.executable, "-m", "tests.survive_grid", "workers", "--kills", "1", "--seeds", "1"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0 and "workers: 1 kills" in done.stdout, done.stdout + done.stderr


def test_the_sweep_sees_other_numbers():
    def result(record):
        return report.Experiment([record], *[None] * 12)

    one = report.Record("a", "", 0, scores={"s": Score("s", 0.5, 0, 1, 3)}, curves={"loss": [(0, 1.0)]})
    two = dataclasses.replace(one, curves={"loss": [(0, 1.1)]})
    assert survive_grid.differences(result(one), result(one)) == []
    assert survive_grid.differences(result(one), result(two)) == ["a, seed 0: other curves"]
    near = dataclasses.replace(one, layers={"a_distance": {"0": [0.5, 0.0, 1.0]}})
    assert survive_grid.differences(result(one), result(near)) == ["a, seed 0: other layers"]
    assert survive_grid.differences(result(one), result(dataclasses.replace(one, error="x"))) == [
        "a, seed 0: other error"
    ]
