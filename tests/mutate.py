"""Make small changes in the code, one at a time, and count how many of the changes a test sees.

    pip install mutmut==3.8.1
    python tests/mutate.py losses                         400 mutants: about an hour on one core
    python tests/mutate.py adapt/engine --sample 50
    python tests/mutate.py adapt/engine --again           survivors only, with the tests of today
    python tests/mutate.py adapt/engine --again --rest    survivors only, with the slow tests too

mutmut makes the mutants and wraps each function, so that a variable of the environment names the mutant that runs. The
script does the rest, because `mutmut run` draws no sample and has no limit on the time of a survivor. One run of the
tests with the original code says how long each test takes and which functions each test calls. Tests that fail under
the wrappers (compiled code, the text of functions) are left out, and named. Then each mutant of the sample meets the
tests that call its function: the fast tests first, at most `--seconds` of them. Tests above 3 s and tests that start
processes run with `--rest` alone. All seconds are seconds of the processor, so that other work beside changes nothing.

The sample has a fixed order: a second call goes on where the first call ended, and `--sample` may grow. A mutant that
takes far longer than its tests counts as killed, and is counted apart. The work lies in the ignored folder `mutants`;
delete the folder after a change of the code.
"""

import argparse
import json
import multiprocessing.process
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

ROOT = Path(__file__).parents[1]
TESTS = {
    "losses": ["tests/losses"],
    "adapt/engine": [
        "tests/adapt/engine",
        "tests/adapt/encoders/test_helpful_errors.py",
        "tests/adapt/multitask",
        "tests/adapt/test_limits.py",
        "tests/adapt/test_remedies.py",
    ],
}
COMPILED = "not compile and not graphs"
SLOW = 3.0  # seconds: a process that imports torch takes longer; twice as much is added for processes of a test
SURVIVED, LATE, KILLED, UNREACHED = "survived", "out of time", "killed", "called by no test"


def spent() -> float:
    """Return the processor seconds of this process and of its ended children."""
    return sum(os.times()[:4])


class Statistics:
    """A pytest plugin: the seconds of each test with its fixtures, the functions that the test calls, what fails."""

    def __init__(self):
        self.seconds, self.calls, self.failed = {}, {}, []
        self.fixtures = {}  # one test of a module pays for a fixture; in another choice of tests another test pays

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        start, before = spent(), {*state()._stats}
        state()._stats.clear()
        result = yield
        self.fixtures[fixturedef] = spent() - start, {*state()._stats}
        state()._stats.update(before)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        start, started = spent(), repr(multiprocessing.process._process_counter)
        try:
            return (yield)
        finally:
            processes = repr(multiprocessing.process._process_counter) != started
            self.seconds[item.nodeid] = spent() - start + 2 * SLOW * processes

    def pytest_runtest_makereport(self, item, call):
        if call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
            self.failed.append(item.nodeid)
        if call.when == "call":
            every = [f for found in item._fixtureinfo.name2fixturedefs.values() for f in found if f in self.fixtures]
            self.seconds[item.nodeid] += sum(self.fixtures[f][0] for f in every)
            self.calls[item.nodeid] = sorted(state()._stats.union(*(self.fixtures[f][1] for f in every)))
        if call.when == "teardown":
            state()._stats.clear()


def in_a_process(work, seconds: float) -> int:
    """Return the exit status of `work` in a forked process, which ends with all its children.

    The process ends after `seconds` of processor time, or, where it sleeps, after twenty times as long.
    """
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        signal.alarm(20 * int(seconds) + 5)
        out = os.open("tests.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        os._exit(work())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.killpg(child, signal.SIGKILL)  # what a test left behind
    except ProcessLookupError:
        pass
    return status


def make_mutants(package: str) -> dict[str, str]:
    """Wrap the functions of the copy, and return the file of each mutant."""
    found = {}
    for path in sorted(Path(package).rglob("*.py")):
        made = mutate_file_contents(str(path), path.read_text())
        path.write_text(made.code)
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        found |= {f"{module}.{name}": str(path) for name in made.mutant_names}
    return found


def run_tests(session: pytest.Session, tests: list[str], mutant: str, stop: bool = True) -> int:
    """Run the collected tests with the mutant, and return the number of tests that fail."""
    set_mutant_under_test(mutant)
    item_of = {item.nodeid: item for item in session.items}
    items = [item_of[test] for test in tests]
    for item, following in zip(items, [*items[1:], None], strict=True):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed and stop:
            print("FAILED", item.nodeid, flush=True)
            break
    return session.testsfailed


def measure(session: pytest.Session) -> dict:
    """Run all tests with the original code, and return their seconds and calls."""

    def work():
        found = Statistics()
        session.config.pluginmanager.register(found)
        run_tests(session, [item.nodeid for item in session.items], "stats", stop=False)
        seconds = {test: number for test, number in found.seconds.items() if test not in found.failed}
        kept = {"seconds": seconds, "calls": found.calls, "failed": found.failed}
        Path("statistics.json").write_text(json.dumps(kept))
        return 0

    in_a_process(work, 3600)
    found = json.loads(Path("statistics.json").read_text())
    fast = {test: seconds for test, seconds in found["seconds"].items() if seconds <= SLOW}
    if meet(session, "", sorted(fast, key=fast.get), 900) != SURVIVED:
        sys.exit(f"The tests that pass in their own order fail in another order: see {Path('tests.log').resolve()}")
    return found


def tests_of(mutant: str, statistics: dict, seconds: float, rest: bool) -> list[str]:
    """Return the tests that call the function of the mutant, the fast tests first; with `rest` the others alone."""
    function, duration = mutant.partition("__mutmut_")[0], statistics["seconds"]
    reached = sorted((t for t in duration if function in statistics["calls"][t]), key=duration.get)
    chosen, total = [], 0.0
    for test in reached:
        total += duration[test]
        if total <= seconds and duration[test] <= SLOW:
            chosen.append(test)
    if rest:  # a process that a test starts calls functions that the statistics do not see
        slow = [t for t in duration if duration[t] > SLOW]
        return sorted({*reached, *slow} - {*chosen}, key=duration.get)
    return chosen


def meet(session: pytest.Session, mutant: str, tests: list[str], seconds: float) -> str:
    """Return what becomes of the mutant."""
    if not tests:
        return UNREACHED
    status = in_a_process(lambda: min(run_tests(session, tests, mutant), 1), 15 + 4 * seconds)
    return SURVIVED if status == 0 else LATE if status in (-signal.SIGALRM, -signal.SIGXCPU) else KILLED


class Loop:
    """A pytest plugin that replaces the loop over the collected tests: each mutant has a process, forked from here."""

    def __init__(self, options: argparse.Namespace):
        self.options = options

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        options, results, kept = self.options, Path("results.json"), Path("statistics.json")
        path_of, found = json.loads(Path("mutants.json").read_text()), json.loads(results.read_text())
        statistics = measure(session) if options.again or not kept.exists() else json.loads(kept.read_text())
        failed = dict(Counter(test.partition("[")[0] for test in statistics["failed"]))
        print(f"{len(path_of)} mutants, {len(statistics['seconds'])} tests. Left out: {failed}", flush=True)

        names = sorted(path_of)
        random.Random(0).shuffle(names)
        names = names[: options.sample]
        survivors = [n for n in names if found.get(n) in (SURVIVED, UNREACHED)]
        todo = survivors if options.again or options.rest else [n for n in names if n not in found]
        for at, name in enumerate(todo, 1):
            start = time.monotonic()
            tests = tests_of(name, statistics, options.seconds, options.rest)
            found[name] = meet(session, name, tests, sum(statistics["seconds"][t] for t in tests))
            results.write_text(json.dumps(found, indent=0))
            seconds = time.monotonic() - start
            print(f"{at}/{len(todo)} {found[name]} {len(tests)} tests {seconds:.1f} s {name}", flush=True)

        survivors = [n for n in names if found[n] in (SURVIVED, UNREACHED)]
        for n in [] if options.quiet else survivors:
            print(f"\n{found[n]}: {n}\n{get_diff_for_mutant(n, Path(path_of[n]).read_text(), path_of[n])}", flush=True)
        used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
        print(
            f"\n{Counter(found[n] for n in names)}; {sum(u.ru_utime + u.ru_stime for u in used) / 60:.1f} CPU-minutes"
        )
        print(f"Score: {len(names) - len(survivors)} of {len(names)}, {1 - len(survivors) / len(names):.1%}")
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=TESTS)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=20.0, help="of tests per mutant")
    parser.add_argument("--again", action="store_true", help="copy the tests anew, and run the survivors again")
    parser.add_argument("--rest", action="store_true", help="run the survivors against the other tests")
    parser.add_argument("--quiet", action="store_true", help="print no diffs")
    options = parser.parse_args()

    folder = ROOT / "mutants" / options.package.replace("/", "-")
    left_out = shutil.ignore_patterns(".*", "mutants", "runs", "__pycache__")
    new = not (folder / "results.json").exists()
    if new:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT, folder, ignore=left_out)
    elif options.again:
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=left_out, dirs_exist_ok=True)
    os.chdir(folder)
    sys.path[0] = os.environ["PYTHONPATH"] = str(folder)  # not the checkout: neither here nor in processes of tests
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests of Ctrl-C, where the shell ignores the signal
    if new:
        Path("mutants.json").write_text(json.dumps(make_mutants(options.package)))
        Path("results.json").write_text("{}")
    flags = ["-o", "addopts=--strict-markers", "-p", "no:cacheprovider", "-k", COMPILED, "-m", "not slow", "-qq", "-s"]
    flags.append(f"--basetemp={folder / 'temporary'}")  # each process empties the folder
    sys.exit(pytest.main([*flags, *TESTS[options.package]], plugins=[Loop(options)]))


if __name__ == "__main__":
    main()
