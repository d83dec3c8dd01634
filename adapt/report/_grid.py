"""The grid of an experiment: the cells, the folder, and the formula of a cell: claim, run, keep."""

import hashlib
import json
import random
import re
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from adapt import store
from adapt.engine import CheckpointError
from adapt.engine.configuration import differences
from adapt.randomness import seed_cpu, untouched_randomness
from adapt.report import _record_files
from adapt.report._cost import cost
from adapt.report._data_marks import marks
from adapt.report._outcome import record_of
from adapt.report._provenance import provenance
from adapt.report.records import Cell, Data, Record

FORM = "adapt experiment 1"
FILE = "experiment.json"
PAUSE = 0.2  # seconds between two looks at cells that other processes hold
ONE = threading.RLock()  # the global random state belongs to one cell at a time, and a claim keeps no thread out


class Place(NamedTuple):
    """The place of a cell in the grid."""

    method: str
    task: str
    seed: int
    budget: int | None

    def __str__(self) -> str:
        task, budget = f", {self.task}" if self.task else "", "" if self.budget is None else f", {self.budget} rows"
        return f"{self.method}{task}{budget}, seed {self.seed}"


@dataclass
class Grid:
    """What the processes of an experiment share.

    Attributes:
        failed: the stamps of records of failed cells from before the call. The call runs failed cells again.
        known: the facts about the data of each task, for the records.
    """

    folder: Path
    methods: Mapping[str, Callable[[Cell], Any]]
    tasks: Mapping[str, Data | None]
    budgets: Sequence[int | None]
    seeds: Sequence[int]
    settings: Any
    higher_is_better: bool
    quick: bool
    failed: frozenset[str] = frozenset()
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> list[Place]:
        return [
            Place(method, task, seed, budget)
            for seed in self.seeds
            for task in self.tasks
            for budget in self.budgets
            for method in self.methods
        ]

    def of(self, place: Place) -> Path:
        """Return the folder of a cell."""
        budget = "" if place.budget is None else f"_budget-{place.budget}"
        task = f"_{_safe(place.task)}" if place.task else ""
        return self.folder / "cells" / f"{_safe(place.method)}{task}{budget}_seed-{place.seed}"

    # ---- the folder ----

    def open(self) -> None:
        """Make the folder, or compare with the experiment in the folder.

        Raises:
            ValueError: the folder holds an experiment with other settings or other data, or something else.
        """
        plain = {
            "settings": self.settings,
            "quick": self.quick,
            "higher is better": self.higher_is_better,
            "data": {f"of {task or 'the rows'}": marks(data) for task, data in self.tasks.items()},
        }
        with self._shared() as found:
            if found:
                earlier = {**plain, **found, "data": {t: found["data"].get(t, d) for t, d in plain["data"].items()}}
                one, two = _comparable(earlier), _comparable(plain)
                wrong = list(differences(one, two, lambda a, b: f"expected {a}, found {b}"))
                if wrong:
                    raise ValueError(
                        f"`{self.folder}` holds an experiment that differs in {'; '.join(wrong[:3])}: choose another "
                        "folder, or make the same call. Nothing was changed."
                    )
                plain = {"data": {**plain["data"], **found["data"]}}
            found.update(plain)
        stamps = (_manifest(self.of(place) / "record") for place in self.places)
        self.failed = frozenset(found["stamp"] for found in stamps if found and found["failed"])

    @contextmanager
    def _shared(self) -> Iterator[dict[str, Any]]:
        """Give the content of ``experiment.json`` to this process alone, and write changed content after the block."""
        file = self.folder / FILE
        with ONE, _claimed(self.folder):
            found = _read(file)
            before = json.dumps(found)
            yield found
            if json.dumps(found) != before:
                with store.whole_file(file) as temporary:
                    temporary.write_text(json.dumps({"form": FORM, **found}, indent=1), encoding="utf-8")

    # ---- the cells ----

    def work(self, *, wait: bool, show: Callable[[int, Place | None], Any] = lambda done, place: None) -> None:
        """Do the cells, and come back to the cells of other processes.

        Args:
            wait: until the other processes have ended their cells, or have died.
            show: is called before each cell, with the number of done cells.
        """
        places = self.places
        left = places
        while left:
            held: list[Place] = []
            for number, place in enumerate(left):
                show(len(places) - len(left) + number - len(held), place)
                if not self.do(place):
                    held.append(place)
            show(len(places) - len(held), None)
            if not wait:
                return
            if held:
                time.sleep(PAUSE * (1 + random.Random().random()))
            left = held

    def do(self, place: Place) -> bool:
        """Claim, run, keep: return whether the cell is done; False where another process holds the cell."""
        folder = self.of(place)
        if self.is_done(folder):
            return True
        with ONE, store.claim(folder) as holder:
            if holder is None and not self.is_done(folder):
                again = self._clear(folder)
                _record_files.write(folder / "record", *self.run(place, folder / "run", again))
        return holder is None

    def run(self, place: Place, log: Path, again: bool) -> tuple[Record, str]:
        """Return the record of a cell, and the traceback of a failed cell."""
        method, task, seed, budget = place
        cell = Cell(method, task, seed, budget, self.tasks[task], log, self.quick)
        resumed = log.exists()
        log.mkdir(exist_ok=True)
        try:
            with untouched_randomness(), cost() as spent:
                seed_cpu(seed)
                torch.manual_seed(seed)
                returned = self.methods[method](cell)
            with untouched_randomness():
                record = record_of(cell, returned, higher_is_better=self.higher_is_better)
            record.cost.update(spent.as_dict(), resumed=resumed)
            if task not in self.known:
                self.known[task] = provenance(None, cell.data)["data"]
            record.provenance.update(data=self.known[task], seed=seed, quick=self.quick, experiment=self.settings)
            self._agree(record)
        except CheckpointError as error:
            if not again:
                return _failure(place, error)
            aside(log, "the cell had failed before, and trains in another way now")
            return self.run(place, log, False)
        except Exception as error:
            return _failure(place, error)
        return record, ""

    def is_done(self, folder: Path) -> bool:
        """Return whether a cell has a record from now, or a good record from before the call."""
        try:
            manifest = store.check(folder / "record", _record_files.FORM)
        except ValueError:
            return False
        return manifest["stamp"] not in self.failed

    def record(self, place: Place) -> Record:
        """Return the record of a cell; of a cell without a record, a record with the reason.

        Raises:
            ValueError: the folder of the cell holds the record of another cell.
        """
        folder = self.of(place)
        try:
            found, stamp = _record_files.read(folder / "record")
        except ValueError:
            stamp = None
        if stamp is None or stamp in self.failed:
            return Record(*place, error="the cell is not done: another process holds it. Call again, or `wait=True`.")
        if (found.method, found.task, found.seed, found.budget) != place:
            raise ValueError(f"`{folder}` must hold the record of {place}, got another: choose another folder.")
        return found

    def _clear(self, folder: Path) -> bool:
        """Make room for a record; return whether the cell had failed before. A torn record is told and kept aside."""
        record = folder / "record"
        if not record.exists():
            return False
        try:
            return bool(store.check(record, _record_files.FORM)["failed"])
        except ValueError as error:
            aside(record, f"{error} The cell runs again")
            return False

    def _agree(self, record: Record) -> None:
        """Raise unless the scores of a cell have the names and directions of the scores of the other cells."""
        mine = {name: score.higher_is_better for name, score in record.scores.items()}
        with self._shared() as found:
            expected = found.setdefault("scores", mine)
        if expected != mine:
            raise ValueError(
                f"the scores of a cell must have the names and directions of the other cells, {_directions(expected)}, "
                f"got {_directions(mine)}: return the same scores from every method, or take another folder."
            )


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Hold a folder, after other processes have let go of the folder."""
    while True:
        with store.claim(folder) as holder:
            if holder is None:
                yield
                return
        time.sleep(0.01)


def aside(path: Path, why: str) -> None:
    """Rename a file or folder, and tell why."""
    path.rename(path.with_name(f"aside-{uuid.uuid4().hex[:8]}-{path.name}"))
    warnings.warn(f"`{path}` is kept aside: {why}.", stacklevel=2)


def _failure(place: Place, error: Exception) -> tuple[Record, str]:
    """Return the record of a failed cell, and the traceback."""
    words = "".join(traceback.format_exception_only(error)).strip()
    return Record(*place, error=words), "".join(traceback.format_exception(error))


def _safe(name: str) -> str:
    """Return a name for a folder; a changed name ends with a mark of the whole name."""
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:60].strip(".-")
    return safe if safe == name else f"{safe}-{hashlib.blake2b(name.encode(), digest_size=3).hexdigest()}"


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        form = found.pop("form")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`{file}` must be the file of an experiment, got something else: choose another folder."
        ) from error
    if form != FORM:
        raise ValueError(f"`{file}` must be in the form {FORM!r}, got {form!r}: read it with its own version.")
    return found


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        return store.check(folder, _record_files.FORM)
    except ValueError:
        return None


def _comparable(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by value: numbers as float, for 1 and 1.0 are equal, and lists as text."""
    return {name: _by_value(value) if name != "data" else value for name, value in plain.items() if name != "scores"}


def _by_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _by_value(part) for name, part in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return json.dumps(value)


def _directions(scores: Mapping[str, bool]) -> str:
    return ", ".join(f"{name} ({'higher' if up else 'lower'} is better)" for name, up in scores.items())
