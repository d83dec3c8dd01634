"""Kill the processes of a grid at random moments, and compare with the grid of one process that was never killed.

    python -m tests.survive_grid                                  20 kills for each way
    python -m tests.survive_grid workers --kills 2 --seeds 2      a sample, as in the tests

- workers: one call with two plain workers, which the call replaces.
- optuna: two processes with one study in a database; a killed process is started again, and its trial is tried again.
- submitit: two jobs of the local executor; a killed job is submitted again.

SIGKILL goes to a process that holds a cell. Where a grid ends before the last kill, the next grid begins in a new
folder. Every number must be the number of the reference, bit for bit, and a finished cell must keep its record. Exit 1
otherwise.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import torch

from adapt import report, store
from tests.adapt.engine.tiny import cloud, trainer

BASE = "source only"
METHODS = {BASE: (), "dann": ("dann",), "dan": ("dan",), "mcc": ("mcc",)}
STEPS, SAVE_EVERY, PAUSE = 12, 3, 0.05
PROCESSES = 2
MOST = 3  # kills of one cell: a call gives a cell up after five deaths of its workers
CALL = "from tests.survive_grid import {name}; {name}({arguments})"


def method(terms):
    def run(cell):
        slowly = [lambda logged: time.sleep(PAUSE)]
        made, head = trainer(
            terms, log=cell.folder, seed=cell.seed, log_every=1, save_every=SAVE_EVERY, callbacks=slowly
        )
        return made.fit(STEPS), head

    return run


def grid(folder, seeds, names=tuple(METHODS), **options):
    data = report.Data(test=cloud(50, seed=3, shift=0.7), source=cloud(60, seed=4))
    methods = {name: method(METHODS[name]) for name in names}
    return report.experiment(folder, methods, seeds, BASE, data=data, progress=False, **options)


def with_workers(folder, seeds):
    grid(folder, seeds, workers=PROCESSES)


def study_of(folder):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{folder}/study.db", heartbeat_interval=1, grace_period=10,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
        engine_kwargs={"connect_args": {"timeout": 60}},
    )  # fmt: skip
    return optuna.create_study(storage=storage, study_name="grid", direction="maximize", load_if_exists=True)


def found_by(study):
    return {trial.params["method"]: trial.value for trial in study.trials if trial.state.name == "COMPLETE"}


def with_optuna(folder, seeds):
    study = study_of(folder)

    def objective(trial):
        name = trial.suggest_categorical("method", list(METHODS))
        scores = grid(f"{folder}/grid", seeds, dict.fromkeys((BASE, name))).scores()[name]
        return sum(scores) / len(scores)

    while set(found_by(study)) < set(METHODS):
        study.optimize(objective, n_trials=1)


class Calls:
    """Processes that make the same call. A killed process is started again."""

    def __init__(self, name, folder, seeds, count):
        arguments = f"{str(folder)!r}, {seeds}"
        self.command = [sys.executable, "-c", CALL.format(name=name, arguments=arguments)]
        self.running = [self.start() for _ in range(count)]

    def start(self):
        return subprocess.Popen(self.command, cwd=Path(__file__).parents[1])

    def go_on(self):
        """Start what was killed; return whether there is anything left to wait for."""
        for process in [p for p in self.running if p.poll() is not None]:
            self.running.remove(process)
            if process.returncode == -signal.SIGKILL:
                self.running.append(self.start())
            elif process.returncode:
                raise RuntimeError(f"a process ended with the code {process.returncode}")
        return bool(self.running)


class Jobs:
    """Jobs of submitit's local executor. A killed job is submitted again."""

    def __init__(self, folder, seeds):
        import submitit

        self.executor = submitit.AutoExecutor(f"{folder}/jobs", cluster="local")
        self.executor.update_parameters(timeout_min=30)
        self.call = (grid, f"{folder}/grid", seeds)
        self.running = [self.executor.submit(*self.call) for _ in range(PROCESSES)]

    def go_on(self):
        for job in [job for job in self.running if job.done()]:
            self.running.remove(job)
            if not job.paths.result_pickle.exists():  # killed
                self.running.append(self.executor.submit(*self.call))
            elif (error := job.exception()) is not None:
                raise RuntimeError(f"a job ended with {error}")
        return bool(self.running)


def start(way, folder, seeds):
    """Return the processes of a way, and the folder of the grid."""
    if way == "workers":
        return Calls("with_workers", folder / "grid", seeds, 1)
    if way == "submitit":
        return Jobs(folder, seeds)
    study = study_of(folder)
    for name in METHODS:
        study.enqueue_trial({"method": name})
    return Calls("with_optuna", folder, seeds, PROCESSES)


def holders(folder):
    """Return the cells that living processes hold, with the numbers of the processes."""
    words = {cell.name: store.holder(cell).split() for cell in folder.glob("cells/*")}
    numbers = {cell: int(w[1]) for cell, w in words.items() if w}
    return [(cell, number) for cell, number in numbers.items() if Path(f"/proc/{number}").exists()]


def stamps(folder):
    """Return the manifest of each record; each record has a manifest of its own."""
    return {path.parents[1].name: path.read_text() for path in folder.glob("cells/*/record/manifest.json")}


def numbers(record):
    """Return every number of a record that a kill must not change. Times may change."""
    curves = {tag: points for tag, points in record.curves.items() if "per_second" not in tag}
    rows = {part: [None if x is None else x.tobytes() for x in record.rows[part]] for part in record.rows}
    sizes = {name: record.cost.get(name) for name in ("parameters", "trainable", "flops")}
    return {"error": record.error, "scores": record.scores, "curves": curves, "rows": rows, "layers": record.layers,
            "sizes": sizes}  # fmt: skip


def differences(one, two):
    """Return the records of a result that are not the records of the reference."""
    pairs = [(b, numbers(a), numbers(b)) for a, b in zip(one.records, two.records, strict=True)]
    return [
        f"{record.method}, seed {record.seed}: other {name}"
        for record, a, b in pairs
        for name in a
        if a[name] != b[name]
    ]


def sweep(way, kills, seeds, reference, chance):
    """Kill at random until `kills` processes were killed, and return what went wrong."""
    wrong, done, rounds, begun = [], 0, 0, time.monotonic()
    span = 1.5 * sum(record.cost["seconds"] for record in reference.records) / len(reference.records)
    while done < kills:
        rounds += 1
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder, kept, due, killed = Path(name), {}, {}, Counter()
            processes = start(way, folder, seeds)
            while processes.go_on():
                time.sleep(0.05)
                now = stamps(folder / "grid")
                wrong += [f"the record of {cell} is another" for cell in kept if now.get(cell) != kept[cell]]
                kept |= now
                for held in holders(folder / "grid"):  # a moment of the cell, or after its end
                    moment = due.setdefault(held, time.monotonic() + chance.uniform(0, span))
                    if done < kills and time.monotonic() > moment and killed[held[0]] < MOST:
                        due[held] = math.inf
                        with suppress(ProcessLookupError):  # has just ended
                            os.kill(held[1], signal.SIGKILL)
                            done += 1
                            killed[held[0]] += 1
                            print(f"{way}: kill {done} in {held[0]}, {len(kept)} cells are finished", flush=True)
            kept |= (ended := stamps(folder / "grid"))
            result = grid(folder / "grid", seeds)
            wrong += differences(reference, result)
            wrong += [] if stamps(folder / "grid") == kept == ended else ["a finished cell was run again"]
            if way == "optuna":
                means = {name: sum(scores) / len(scores) for name, scores in reference.scores().items()}
                wrong += [] if (found := found_by(study_of(folder))) == means else [f"the study found {found}"]
    print(
        f"{way}: {done} kills in {rounds} grids of {len(reference.records)} cells, {len(wrong)} wrong, "
        f"{time.monotonic() - begun:.0f} s",
        flush=True,
    )
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", default=["workers", "optuna", "submitit"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", help="a folder for the reference, which later calls read")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        reference = grid(asked.reference or folder, asked.seeds)
        for way in asked.ways:
            wrong += sweep(way, asked.kills, asked.seeds, reference, random.Random(asked.seed))
    print("\n".join(["", *wrong]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
