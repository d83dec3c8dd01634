"""A sample of `tests/survive.py`: runs that are killed, interrupted, torn, or find a full disk end bit for bit equal.

Row 26 (Ctrl-C), row 34 (torn, half and empty checkpoints), row 35 (killed before the first checkpoint), row 42 (full
disk): the whole sweep is run on demand.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COUNTS = {"kills": 2, "interrupts": 2, "writes": 4, "limits": 2, "damages": 2}


def sweep(*command, counts):
    arguments = [text for kind, count in counts.items() for text in (f"--{kind}", str(count))]
    done = subprocess.run([sys.executable, *command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_runs_end_as_if_never_ended():
    code, out = sweep("-m", "tests.survive", "workers", "LoRA", "--seed", "1", counts=COUNTS)
    assert code == 0, out
    assert dict(re.findall(r"^(\w+): (\d+) cases", out, re.M)) == {k: str(n) for k, n in COUNTS.items()}


def test_the_sweep_sees_a_run_that_goes_on_in_another_way():
    """The sweep is no use where it cannot fail: optimizers that do not get their states back."""
    code = (
        "import sys, torch\nfrom tests import survive\n"
        "torch.optim.Optimizer.load_state_dict = lambda self, state: None\nsys.exit(survive.main())"
    )
    found, out = sweep("-c", code, "EMA", counts=dict.fromkeys(COUNTS, 0) | {"damages": 2})
    assert found == 1 and "other weights or another history" in out, out
