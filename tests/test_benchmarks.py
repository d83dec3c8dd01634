"""Every benchmark starts."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))
START_ALL = """
import contextlib, io, runpy, sys
for path in sys.argv[1:]:
    sys.argv, sys.path[0], said = [path, "--help"], path.rsplit("/", 1)[0], io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, path
    assert "usage" in said.getvalue(), path
"""


def test_they_find_their_imports_and_say_how_to_use_them():
    """One process for all: imports take most of the time."""
    command = [sys.executable, "-c", START_ALL, *map(str, SCRIPTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert SCRIPTS and done.returncode == 0, done.stderr
