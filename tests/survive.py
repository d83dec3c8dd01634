"""End small runs in every way, let them go on, and compare with the run that was never ended, bit for bit.

    python -m tests.survive                                  200 kills, 100 Ctrl-C, all writes: about half an hour
    python -m tests.survive --each-write                     each call that writes, in turn, and nothing else
    python -m tests.survive --kills 7 --interrupts 7 --writes 6 --damages 12 --limits 6      a sample, as in the tests

- kills: SIGKILL at a random moment, to the training process or to its workers too; one run in three is killed twice.
- interrupts: Ctrl-C at a random moment, one time or two, to all processes; then `fit` again in the same process. A step
  that did not end is refused, and the run goes on from `resume`, or in a new process where no checkpoint is there.
- writes: the process ends at a call that writes (open, fsync, rename, ...), or the disk is full from this call on.
- limits: no file can be longer than a random number of bytes (RLIMIT_FSIZE): real short writes, in all libraries.
- damages: files of the newest checkpoints are cut, emptied, changed or removed.

Seven configurations take turns: workers, augmentation, EMA, LoRA, accumulation, phases, balance. A warm process forks
for every run, so a run costs a fraction of a second. Exit 1 if a run ends differently.
"""

import argparse
import builtins
import errno
import faulthandler
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import safetensors.torch
import tensorboard.compat.proto.event_pb2  # noqa: F401  # imported once, before the forks
import torch
import torch.utils.tensorboard
import tqdm  # noqa: F401

import adapt
from adapt import Stream, Trainer, domain, encoders, multitask
from adapt.engine import checkpoint, cosine, history
from tests.adapt.engine.tiny import Items, cloud, jitter, network, streams, trainer, two_phases

STEPS, SAVE_EVERY = 12, 3
REFUSED = 3  # exit code of a child: a step did not end, and there is no checkpoint


class Tasks(Items):
    """Two labels for each row."""

    def __getitem__(self, index: int) -> Any:
        x, y = self.data[index]
        return x, {"one": y, "two": (y + 1) % 3}


def balanced(folder: Path) -> Trainer:
    encoder, first = network()
    second = network(seed=5)[1]
    terms = [multitask.task(name, head, "rows", label=name) for name, head in (("one", first), ("two", second))]
    rows = {"rows": Stream(Tasks(cloud()), 12)}
    return Trainer(encoder, terms, rows, balance=multitask.imtl_g(), log=folder, progress=False, device="cpu", **OFTEN)


def with_lora(folder: Path) -> Trainer:
    encoder, head = network()
    encoders.lora(encoder, rank=2)
    terms = [adapt.supervised(head, "source"), domain.dann(8, hidden=16)]
    return Trainer(encoder, terms, streams(), log=folder, progress=False, device="cpu", **OFTEN)


OFTEN = {"save_every": SAVE_EVERY, "log_every": 1, "watch_every": 5, "schedule": cosine()}
RUNS: dict[str, Callable[[Path], Trainer]] = {
    "workers": lambda folder: trainer(
        ["dann"], log=folder, stream_options={"workers": 2, "items": True, "augment": jitter}, **OFTEN
    )[0],
    "augmentation": lambda folder: trainer(
        ["dann", "dan"], log=folder, network_options={"dropout": 0.3}, stream_options={"augment": jitter}, **OFTEN
    )[0],
    "EMA": lambda folder: trainer(["dann"], log=folder, ema=0.9, network_options={"batch_norm": True}, **OFTEN)[0],
    "LoRA": with_lora,
    "accumulation": lambda folder: trainer(["dann", "mcc"], log=folder, accumulate=2, clip=1.0, **OFTEN)[0],
    "phases": lambda folder: two_phases(log=folder, network_options={"batch_norm": True}, **OFTEN)[0],
    "balance": balanced,
}


def digest(folder: Path) -> str:
    """Return a text that depends on every bit of the last checkpoint, and on the history."""
    weights, state = checkpoint.read(folder / "checkpoints" / checkpoint.name(STEPS))
    mark = hashlib.blake2b(digest_size=8)
    for kept in (weights, state["optimizers"], state["ema"], state["callbacks"], state["step"]):
        _take(mark, kept)
    rows = [{k: v for k, v in r.items() if "speed" not in k} for r in history.read(folder / history.FILE)]
    mark.update(json.dumps(rows, sort_keys=True).encode())
    return mark.hexdigest()


def _take(mark: Any, value: Any) -> None:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            mark.update(str(key).encode())
            _take(mark, value[key])
    elif isinstance(value, list | tuple):
        for part in value:
            _take(mark, part)
    elif isinstance(value, torch.Tensor):
        mark.update(value.detach().contiguous().flatten().view(torch.uint8).numpy())
    else:
        mark.update(repr(value).encode())


GROUPS: list[int] = []  # of all runs


def forked(work: Callable[[], Any], log: Path) -> int:
    """Run `work` in a child with a process group of its own; return the process number."""
    number = os.fork()
    if number:
        GROUPS.append(number)
        return number
    code = 1
    try:
        os.setpgid(0, 0)
        faulthandler.dump_traceback_later(40, file=log.open("a"))
        warnings.simplefilter("ignore")
        code = work() or 0
    except BaseException:
        with log.open("a") as file:
            traceback.print_exc(file=file)
    finally:
        os._exit(code)


def ended(number: int, seconds: float = 60) -> int:
    """Wait for a child; return the exit code, negative after a signal."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.killpg(number, signal.SIGKILL)
            os.waitpid(number, 0)
            raise TimeoutError(f"a run took more than {seconds} s")
        time.sleep(0.002)


def whole(name: str, folder: Path) -> Callable[[], Any]:
    return lambda: RUNS[name](folder).fit(STEPS) and 0


def no_signal(number: int) -> None:
    """Let the child reach `fit` before a signal can end the child itself."""
    signal.signal(number, signal.SIG_IGN)


def interrupted(name: str, folder: Path) -> Callable[[], int]:
    """Train in a child that hears Ctrl-C inside of `fit` alone, and calls `fit` again."""

    def work() -> int:
        no_signal(signal.SIGINT)
        made = RUNS[name](folder)
        (folder.parent / "ready").touch()
        while made.step < STEPS or not (folder / "checkpoints" / checkpoint.name(STEPS)).exists():
            try:
                try:
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    made.fit(STEPS)
                finally:
                    no_signal(signal.SIGINT)
            except KeyboardInterrupt:
                with (folder.parent / "heard").open("a") as file:
                    file.write(f"{made.step} {made.torn}\n")
            if made.torn:
                try:
                    made.fit(STEPS)
                    return 4  # must be refused
                except RuntimeError:
                    pass
                try:
                    made.resume()
                except FileNotFoundError:
                    return REFUSED
        return 0

    return work


@contextmanager
def failing(at: int, act: Callable[[str], None]) -> Iterator[list[int]]:
    """Call `act` before the call number `at` of all calls that write, and of all later ones."""
    count = [0]

    def counted(function: Callable, what: str, writes: Callable[..., bool] = lambda *a, **k: True) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            if writes(*args, **kwargs):
                count[0] += 1
                if count[0] >= at:
                    act(what)
            return function(*args, **kwargs)

        return call

    def to_write(path: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
        return any(letter in mode for letter in "wxa+")

    places = [
        (builtins, "open", to_write), (Path, "open", lambda _, mode="r", *a, **k: to_write(_, mode)),
        (os, "fsync", None), (os, "rename", None), (os, "replace", None), (os, "mkdir", None), (torch, "save", None),
        (safetensors.torch, "save_file", None), (Path, "write_text", None), (Path, "rename", None),
        (Path, "replace", None), (Path, "mkdir", None), (shutil, "rmtree", None),
    ]  # fmt: skip
    former = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, writes in places:
        setattr(owner, name, counted(getattr(owner, name), name, *([writes] if writes else [])))
    try:
        yield count
    finally:
        for owner, name, function in former:
            setattr(owner, name, function)


def full(what: str) -> None:
    if what != "rmtree":  # a full disk lets files go
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stops_at_write(name: str, folder: Path, at: int, act: Callable[[str], None]) -> Callable[[], int]:
    """Train in a child whose write number `at` fails; exit code 5 after an error that does not help."""

    def work() -> int:
        made = RUNS[name](folder)
        with failing(at, act) as count:
            try:
                made.fit(STEPS)
            except OSError as error:
                return 0 if helps(error) else 5
            (folder.parent / "writes").write_text(str(count[0]))
        return 0

    return work


def stops_at_size(name: str, folder: Path, size: int) -> Callable[[], int]:
    def work() -> int:
        made = RUNS[name](folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            made.fit(STEPS)
        except OSError as error:
            return 0 if helps(error) else 5
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return 0

    return work


def helps(error: OSError) -> bool:
    """Whether the message of a failed write says what happened, and where or what to do."""
    text = str(error)
    if not any(reason in text for reason in ("No space left", "File too large")):
        traceback.print_exception(error)
        return False
    return True


def left_behind(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob(".tmp*")]


def damage(folder: Path, chance: random.Random) -> str:
    """Damage one or both of the newest checkpoints, and say how."""
    paths = checkpoint.newest_first(folder)
    said = []
    for path in paths[: chance.choice((1, 1, 2))]:
        kind = chance.choice(("cut", "empty", "flip", "remove", "half manifest", "empty folder", "no json", "zeros"))
        file = chance.choice(sorted(path.iterdir()))
        raw = file.read_bytes()
        if kind == "cut":
            file.write_bytes(raw[: chance.randrange(len(raw))])
        elif kind == "empty":
            file.write_bytes(b"")
        elif kind == "flip":
            at = chance.randrange(len(raw))
            file.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :])
        elif kind == "remove":
            file.unlink()
        elif kind == "half manifest":
            manifest = path / "manifest.json"
            manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
        elif kind == "empty folder":
            shutil.rmtree(path)
            path.mkdir()
        elif kind == "no json":
            (path / "manifest.json").write_text(chance.choice(("", "[]", "{}", "null", "3", "(" * 99, '{"files": {}}')))
        else:
            file.write_bytes(b"\0" * len(raw))
        said.append(f"{path.name} {file.name} {kind}")
    return "; ".join(said)


class Sweep:
    """Runs cases, counts them, and prints the cases that end differently."""

    def __init__(self, root: Path, seed: int, names: list[str]):
        self.root, self.chance, self.names = root, random.Random(seed), names
        self.wanted: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.writes: dict[str, int] = {}
        self.wrong: list[str] = []
        for name in names:
            RUNS[name](self.fresh() / "run").fit(STEPS)  # imports happen here, once, and not in every fork
            folder = self.fresh() / "run"
            start = time.monotonic()
            code = ended(forked(stops_at_write(name, folder, 10**9, os._exit), self.root / "log"))
            if code:
                sys.exit(f"{name}: the run itself ends with {code}: {self.tail()}")
            self.seconds[name] = time.monotonic() - start
            self.wanted[name] = digest(folder)
            self.writes[name] = int((folder.parent / "writes").read_text())

    def fresh(self) -> Path:
        folder = self.root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (self.root / "log").write_text("")
        return folder

    def tail(self) -> str:
        return " | ".join((self.root / "log").read_text().strip().splitlines()[-4:])

    def compare(self, name: str, folder: Path, what: str, codes: list[int]) -> None:
        """Let the run end in a new process, and compare."""
        if any(codes):
            self.report(name, f"{what}: exit {codes}: {self.tail()}")
            return
        start = time.monotonic()
        code = ended(forked(whole(name, folder), self.root / "log"))
        self.seconds[name] = (self.seconds[name] + time.monotonic() - start) / 2  # a busy machine becomes slower
        if code:
            self.report(name, f"{what}: the run does not go on: {self.tail()}")
        elif digest(folder) != self.wanted[name]:
            self.report(name, f"{what}: other weights or another history")

    def report(self, name: str, what: str) -> None:
        self.wrong.append(f"{name}: {what}")
        print(f"WRONG {name}: {what}", flush=True)

    def cases(self, kind: str, count: int, case: Callable[[str, Path], str | None]) -> None:
        start, ends = time.monotonic(), dict[str, int]()
        for number in range(count):
            name = self.names[number % len(self.names)]
            try:
                end = case(name, self.fresh() / "run") or "done"
            except TimeoutError as error:
                end = "stuck"
                self.report(name, f"{kind}: {error}: {(self.root / 'log').read_text()}")
            ends[end] = ends.get(end, 0) + 1
        told = ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))
        print(f"{kind}: {count} cases ({told}) in {time.monotonic() - start:.0f} s", flush=True)

    def kill(self, name: str, folder: Path) -> str:
        hits = 0
        for _ in range(self.chance.choice((1, 1, 2))):
            child = forked(whole(name, folder), self.root / "log")
            time.sleep(self.chance.random() * self.seconds[name])
            with_workers = self.chance.random() < 0.5
            try:
                (os.killpg if with_workers else os.kill)(child, signal.SIGKILL)
            except ProcessLookupError:
                os.kill(child, signal.SIGKILL)  # not yet a group
            hits += ended(child) == -signal.SIGKILL
        steps = [p.name for p in checkpoint.newest_first(folder / "checkpoints")]
        self.compare(name, folder, f"killed {hits} times, then {steps}", [])
        return "ended before" if not hits else "killed with a checkpoint" if steps else "killed without"

    def interrupt(self, name: str, folder: Path) -> str:
        child = forked(interrupted(name, folder), self.root / "log")
        while not (folder.parent / "ready").exists():
            time.sleep(0.001)
        time.sleep(self.chance.random() * self.seconds[name] * 0.8)
        for _ in range(self.chance.choice((1, 1, 2))):
            try:
                os.killpg(child, signal.SIGINT)
            except ProcessLookupError:
                break
            time.sleep(self.chance.random() ** 3 * 0.01)
        code = ended(child)
        heard = (folder.parent / "heard").read_text().split() if (folder.parent / "heard").exists() else []
        self.compare(name, folder, f"Ctrl-C at {heard}", [code] if code not in (0, REFUSED) else [])
        return "not heard" if not heard else "refused until resume" if "True" in heard else "went on"

    def write(self, name: str, folder: Path) -> str:
        return self.write_at(name, folder, self.chance.randrange(1, self.writes[name] + 1), self.chance.random() < 0.5)

    def each_write(self) -> None:
        """Try all calls that write, one after the other."""
        for name in self.names:
            turns = iter([(at, dies) for at in range(1, self.writes[name] + 1) for dies in (True, False)])
            case = lambda _, folder, name=name, turns=turns: self.write_at(name, folder, *next(turns))  # noqa: E731
            self.cases(f"each write of {name}", 2 * self.writes[name], case)

    def write_at(self, name: str, folder: Path, at: int, dies: bool) -> str:
        act = (lambda _: os._exit(0)) if dies else full
        code = ended(forked(stops_at_write(name, folder, at, act), self.root / "log"))
        if not dies and (left := left_behind(folder)):
            self.report(name, f"full disk at write {at} of {self.writes[name]}: left {left}")
        self.compare(name, folder, f"{'ended' if dies else 'full disk'} at write {at} of {self.writes[name]}", [code])
        return "ended" if dies else "full disk"

    def limit(self, name: str, folder: Path) -> str:
        size = int(2 ** self.chance.uniform(6, 16))
        code = ended(forked(stops_at_size(name, folder, size), self.root / "log"))
        if left := left_behind(folder):
            self.report(name, f"files of {size} bytes at most: left {left}")
        there = (folder / "checkpoints" / checkpoint.name(STEPS)).exists()
        self.compare(name, folder, f"files of {size} bytes at most", [code])
        return "room enough" if there else "no room"

    def tear(self, name: str, folder: Path) -> str:
        code = ended(forked(whole(name, folder), self.root / "log"))
        said = damage(folder / "checkpoints", self.chance)
        self.compare(name, folder, said, [code])
        return "done"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"configurations: {', '.join(RUNS)}")
    for kind, count in (("kills", 200), ("interrupts", 100), ("writes", 400), ("limits", 100), ("damages", 100)):
        parser.add_argument(f"--{kind}", type=int, default=count)
    parser.add_argument("--each-write", action="store_true", help="only this: all calls that write, in turn")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(Path(folder), asked.seed, asked.names or list(RUNS))
        print(f"one run: {', '.join(f'{n} {s:.2f} s, {sweep.writes[n]} writes' for n, s in sweep.seconds.items())}")
        if asked.each_write:
            sweep.each_write()
        else:
            sweep.cases("kills", asked.kills, sweep.kill)
            sweep.cases("interrupts", asked.interrupts, sweep.interrupt)
            sweep.cases("writes", asked.writes, sweep.write)
            sweep.cases("limits", asked.limits, sweep.limit)
            sweep.cases("damages", asked.damages, sweep.tear)
    for number in GROUPS:  # torch's worker never ends where its parent was killed before the worker's first look
        with suppress(ProcessLookupError):
            os.killpg(number, signal.SIGKILL)
    print(f"{len(sweep.wrong)} wrong")
    return bool(sweep.wrong)


if __name__ == "__main__":
    sys.exit(main())
