"""Repeat the tests of claims from perturbed starts, and show how far each stays from its threshold.

    python tests/perturb.py                                 all tests marked `claim`, 20 runs each: an hour
    python tests/perturb.py -k test_multi_source --runs 5   pytest's -k names some of them

Two processors, two thread counts or two releases of torch differ in the last digit of a sum. A chaotic training makes a
difference of points out of the last digit. Each run therefore multiplies every initial weight by 1 + 1e-6 times a
normal number. Runs take 1 and 2 threads in turn, and every second pair of runs takes the instructions of an old x86
processor. The first run is unperturbed. A claim that holds in all runs is not decided by rounding.

The margin of a run is the smallest distance between the two sides of a comparison in the test's asserts; the table
shows the smallest margin of all runs, with the comparison. Exit 1 if any run fails.
"""

import argparse
import ast
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
OLD_PROCESSOR = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
SIZE = 1e-6  # relative: about eight times the spacing of float32
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


class Perturbed:
    """A pytest plugin for one run: jitters weights in `Trainer.__init__`, sets threads, writes one line per test."""

    def __init__(self, run: int, out: Path):
        self.run, self.out, self.margins = run, out, []

    def pytest_collection_finish(self) -> None:
        torch.set_num_threads(1 + self.run % 2)  # after conftest.py, which sets one
        if not self.run:
            return
        from adapt import Trainer

        made = Trainer.__init__

        def jittered(trainer, *args, **options):
            made(trainer, *args, **options)
            generator = torch.Generator().manual_seed(self.run)  # equal trainers stay equal, global random states too
            with torch.no_grad():
                for p in trainer.network.parameters():
                    noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
                    p.mul_(1 + SIZE * noise.to(p.device))

        Trainer.__init__ = jittered

    def pytest_assertion_pass(self, expl: str) -> None:
        self.margins += margins(expl)

    def pytest_runtest_setup(self) -> None:
        self.margins = []

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> None:
        if call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
            failed = [m for text in str(call.excinfo.value).split("assert ") for m in margins(text)]
            self.write(item, False, failed)
        elif call.when == "call" and not call.excinfo:
            self.write(item, True, self.margins)

    def write(self, item: pytest.Item, passed: bool, found: list[tuple[float, str]]) -> None:
        with self.out.open("a") as file:
            file.write(json.dumps([item.nodeid, passed, *min(found, default=(None, ""))]) + "\n")


def margins(explanation: str) -> list[tuple[float, str]]:
    """Return the distance of the two sides of each comparison of two numbers, negative where false, and its text."""
    try:
        tree = ast.parse(explanation.split("\n")[0].strip(), mode="eval")
    except SyntaxError:  # objects that print as no expression
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, how, right in zip(sides, node.ops, sides[1:], strict=False):
                small, large = (left, right) if isinstance(how, ast.Lt | ast.LtE) else (right, left)
                if isinstance(how, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                    values = number(small), number(large)
                    if None not in values:
                        found.append((values[1] - values[0], ast.unparse(ast.Compare(left, [how], [right]))))
    return found


def number(node: ast.expr) -> float | None:
    """Return the value of a literal, of a printed tensor or of arithmetic on both; None for anything else."""
    match node:
        case ast.Constant(value=bool() | str() | bytes() | None):
            return None
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = number(operand)
            return None if value is None else -value
        case ast.Call(func=ast.Name(id="tensor"), args=[operand]):
            return number(operand)
        case ast.BinOp(left=left, op=how, right=right) if type(how) in ARITHMETIC:
            values = number(left), number(right)
            return None if None in values else ARITHMETIC[type(how)](*values)
    return None


def one_run(run: int, chosen: str, out: Path) -> None:
    """Run the claims once, in a process of its own: nothing that a test module keeps reaches the next run."""
    files = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.claim" in p.read_text()]
    sys.pycache_prefix = str(out.parent / "pycache")  # pytest's cached modules have no hook in their asserts
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "-o", "enable_assertion_pass_hook=true", "-m", "claim"]
    sys.exit(pytest.main([*options, *(["-k", chosen] if chosen else []), *files], plugins=[Perturbed(run, out)]))


def table(lines: list[list], runs: int) -> bool:
    """Print one line per test, and return whether all runs of all tests passed."""
    tests = defaultdict(list)
    for test, *found in lines:
        tests[test].append(found)
    width = max(len(t) for t in tests)
    print(f"{'test':{width}}  passed  worst margin")
    for test, found in tests.items():
        passed = sum(ok for ok, *_ in found)
        worst = min(((m, text) for _, m, text in found if m is not None), default=None)
        told = f"{worst[0]:+.4f}  {worst[1]}" if worst else "not told"
        print(f"{test:{width}}  {passed:2}/{runs}   {told}")
    return all(len(found) == runs and all(ok for ok, *_ in found) for found in tests.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", metavar="EXPR", help="pytest's -k: which of the tests marked `claim`")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--one", nargs=2, metavar=("RUN", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one_run(int(options.one[0]), options.k, Path(options.one[1]))
    with tempfile.TemporaryDirectory() as folder:
        out, waiting, active = Path(folder) / "lines", list(range(options.runs)), []
        while waiting or active:
            while waiting and len(active) < options.jobs:
                run = waiting.pop(0)
                command = [sys.executable, __file__, "-k", options.k, "--one", str(run), str(out)]
                environment = {**os.environ, "OMP_NUM_THREADS": str(1 + run % 2), "PYTHONPATH": str(ROOT)}
                environment["OMP_WAIT_POLICY"] = "passive"  # two threads that spin beside other work cost ten times
                environment |= OLD_PROCESSOR if run % 4 > 1 else {}
                active.append((run, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)))
            run, process = active.pop(0)
            output = process.communicate()[0].decode()
            if process.returncode not in (0, 1):  # 1: a test failed, which the table tells
                sys.exit(f"Run {run} stopped:\n{output[-2000:]}")
            print(f"run {run + 1} of {options.runs}: {output.strip().splitlines()[-1]}", flush=True)
        lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    sys.exit("No test was run." if not lines else 0 if table(lines, options.runs) else 1)


if __name__ == "__main__":
    main()
