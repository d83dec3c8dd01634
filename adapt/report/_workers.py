"""Plain processes for the cells of a grid: started, watched, replaced, ended."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from adapt import store
from adapt.report import _record_files
from adapt.report._grid import Grid, Place
from adapt.report.records import Record

LOOK = 0.2  # seconds between two looks at the workers
PATIENCE = 30.0  # seconds that workers have for the end of a step, and a checkpoint
DEATHS = 5  # of workers in the same cell, or of workers without a cell in a row, before the call gives up
TERMINATED = (-signal.SIGTERM, 128 + signal.SIGTERM)
PROGRAM = "from adapt.report._workers import main; main()"


def share(grid: Grid, workers: int, *, wait: bool, show: Callable[[int, Place | None], Any]) -> None:
    """Let `workers` processes do the cells. A killed worker is replaced.

    Raises:
        TypeError: functions or data that cannot be sent to another process.
        RuntimeError: a worker ends with an error outside of all cells; workers are killed before a cell, again and
            again.
        KeyboardInterrupt: in this process or in a worker. The workers end after a whole step.
    """
    import cloudpickle

    try:
        payload = cloudpickle.dumps((grid, wait))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"`methods` and `data` must be such that other processes can get them, got an error ({error}): make open "
            "files, locks and generators inside of the function of the method, or take `workers=0`."
        ) from error
    left, deaths = grid.places, Counter[Place | None]()
    running = [_start(payload) for _ in range(min(workers, len(left)))]
    try:
        while running:
            time.sleep(LOOK)
            done = [place for place in left if (grid.of(place) / "record").exists() and grid.is_done(grid.of(place))]
            left = [place for place in left if place not in done]
            if done:
                deaths[None] = 0
            show(len(grid.places) - len(left), None)
            for worker in [worker for worker in running if worker.poll() is not None]:
                running.remove(worker)
                if _was_killed(worker):
                    _count(grid, left, worker, deaths)
                    running.append(_start(payload))
    finally:
        _end(running)


def _start(payload: bytes) -> subprocess.Popen[bytes]:
    """Start a worker. The worker ends when this process has ended, for the standard input then ends."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM], stdin=subprocess.PIPE, start_new_session=True,
        env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": paths, "TQDM_DISABLE": "1"},
    )  # fmt: skip
    assert worker.stdin is not None
    with suppress(BrokenPipeError):  # killed already
        worker.stdin.write(payload)
        worker.stdin.flush()
    return worker


def _was_killed(worker: subprocess.Popen[bytes]) -> bool:
    """Return whether a worker was killed; False for a worker with nothing left to do."""
    code = worker.returncode
    if code in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt
    if code > 0 and code not in TERMINATED:
        raise RuntimeError(f"a worker ended with the code {code}: the error of the worker stands above.")
    return code != 0


def _count(grid: Grid, left: list[Place], worker: subprocess.Popen[bytes], deaths: Counter[Place | None]) -> None:
    """Count the death of a worker, and give up a cell after five deaths: the cell is a failed cell."""
    # all holders: another worker may have taken the cell already
    who = f"process {worker.pid} "
    place = next((p for p in left if any(name.startswith(who) for name in store.holders(grid.of(p)))), None)
    deaths[place] += 1
    if deaths[place] < DEATHS:
        return
    why = f"the workers were killed {DEATHS} times (the last with the code {worker.returncode}): is the memory full?"
    if place is None:
        raise RuntimeError(f"before a cell had begun, {why}")
    with store.claim(grid.of(place)) as holder:
        if holder is None:
            _record_files.write(grid.of(place) / "record", Record(*place, error=f"RuntimeError: in this cell {why}"))


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    """End the workers: a trainer ends after the step with a checkpoint. A second Ctrl-C ends the workers at once."""
    try:
        for worker in workers:
            worker.terminate()
        until = time.monotonic() + PATIENCE
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.0, until - time.monotonic()))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def main() -> None:
    """Do the cells of the grid from the standard input: the program of a worker."""
    grid, wait = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        grid.work(wait=wait)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _end_with_parent() -> None:
    """Wait until the parent has ended, in whatever way, and end this process as SIGTERM does."""
    os.read(0, 1)  # not a read of `sys.stdin`, whose lock a thread would hold at the end of this process
    os.kill(os.getpid(), signal.SIGTERM)
