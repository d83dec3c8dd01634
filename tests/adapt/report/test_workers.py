"""Several processes share the cells of an experiment: workers of one call, and calls of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adapt import report, store
from adapt.report import _workers
from tests.adapt.report.test_experiment import DATA, run, trained, value
from tests.programs import Program


def kills(times, number=signal.SIGKILL):
    """A method that kills its own process, the first `times` calls, and notes each call in its folder."""

    def method(cell):
        (cell.folder / f"call-{len(list(cell.folder.iterdir()))}").touch()
        if len(list(cell.folder.iterdir())) <= times:
            os.kill(os.getpid(), number)
            time.sleep(30)
        return 7.0

    return method


def test_workers_give_the_numbers_of_one_process(tmp_path):
    methods = {"source only": trained(), "dann": trained("dann")}
    methods["lambda"] = lambda cell: {"accuracy": 0.5 + cell.seed}
    one = run(tmp_path / "one", methods, 2, data=DATA)
    two = run(tmp_path / "two", methods, 2, data=DATA, workers=2)
    assert two.scores() == one.scores() and len(two.scores()) == 3 and not two.failed
    for a, b in zip(one.records, two.records, strict=True):
        assert a.scores == b.scores and a.rows.keys() == b.rows.keys()
        assert all((a.rows[part].outputs == b.rows[part].outputs).all() for part in a.rows)


def test_a_killed_worker_is_replaced_and_a_cell_that_always_kills_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(_workers, "DEATHS", 2)
    methods = {"plain": value(0.5), "once": kills(1), "always": kills(99), "ends": kills(1, signal.SIGTERM)}
    result = run(tmp_path, methods, 1, workers=2)
    assert {r.method: r.score.value for r in result.records if r.score} == {"plain": 0.5, "once": 7.0, "ends": 7.0}
    assert [r.method for r in result.failed] == ["always"]
    assert "in this cell the workers were killed 2 times (the last with the code -9)" in result.failed[0].error


def test_what_cannot_be_sent_to_a_worker_is_told(tmp_path):
    lock = threading.Lock()
    with pytest.raises(TypeError, match="`methods` and `data` must be such that other processes can get them"):
        run(tmp_path, {"a": lambda cell: lock}, 1, workers=1)


def test_an_error_outside_of_all_cells_and_an_interrupt_of_a_worker_end_the_call(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="a worker ended with the code 3"):
        run(tmp_path / "exit", {"a": lambda cell: sys.exit(3)}, 1, workers=1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "interrupt", {"a": kills(1, signal.SIGINT)}, 1, workers=1)
    assert run(tmp_path / "interrupt", {"a": kills(1)}, 1, workers=1).scores() == {"a": [7.0]}


def slow(cell):
    print(cell.seed, flush=True)
    time.sleep(30)
    return cell.seed


def other_call(folder, workers=0):
    report.experiment(folder, {"a": slow}, 2, progress=False, workers=workers)


def test_a_call_waits_for_cells_of_other_processes_and_takes_over_when_they_die(tmp_path):
    other = Program(other_call, tmp_path)
    other.until(lambda: other.text == "0\n")
    now = run(tmp_path, {"a": value(0)}, 2, wait=False)
    assert [r.error is None for r in now.records] == [False, True]
    assert "another process holds it" in now.records[0].error
    threading.Timer(1, other.kill).start()
    assert run(tmp_path, {"a": value(0)}, 2).scores() == {"a": [0.0, 10.0]}
    assert other.code == -signal.SIGKILL


def test_workers_end_with_the_call(tmp_path):
    other = Program(other_call, tmp_path, 2)
    other.until(lambda: sorted(other.text.split()) == ["0", "1"])
    pids = [int(store.holder(folder).split()[1]) for folder in (tmp_path / "cells").iterdir()]
    os.kill(other.pid, signal.SIGKILL)
    for _ in range(100):
        if not any(Path(f"/proc/{pid}/stat").exists() for pid in pids):
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"workers {pids} live on")
    assert report.experiment(tmp_path, {"a": value(0)}, 2, progress=False).scores() == {"a": [0.0, 10.0]}


def test_a_death_counts_for_its_cell_where_another_worker_has_taken_the_cell(tmp_path):
    """The names of those who were killed stay below the name of the holder."""
    code = "import os, sys, time; from adapt import store; c = store.claim(sys.argv[1]); c.__enter__(); os._exit(9)"
    killed = []
    for _ in range(2):
        killed.append(subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]))
        assert killed[-1].wait() == 9
    with store.claim(tmp_path) as other:
        assert other is None
        names = store.holders(tmp_path)
        assert [int(name.split()[1]) for name in names] == [os.getpid(), killed[1].pid, killed[0].pid]
        assert store.holder(tmp_path) == names[0]
    assert store.holders(tmp_path) == []
