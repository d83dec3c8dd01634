"""Paired experiments: the same seeds, tasks and budgets for every method."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from adapt.engine import runtime
from adapt.report import _choosing
from adapt.report import _door as door
from adapt.report._delta_m import delta_m
from adapt.report._grid import Grid, Place
from adapt.report._workers import share
from adapt.report.page._document import Document
from adapt.report.records import Cell, Data, Record
from adapt.select import Choice
from losses.options import FROM_0, TRUTH, check


@dataclass(frozen=True, eq=False)
class Experiment:
    """The records of a grid, and the results of the records.

    Attributes:
        records: one for each cell; the record of a failed cell has an error and no score.
        methods, tasks, budgets, seeds: the axes of the grid. A grid without tasks has the task ``""``, and a grid
            without budgets the budget None.
        baseline: the method of reference for all comparisons.
        oracle: the methods with target labels.
        data: by task.
        settings: as json.
        quick: whether the numbers mean nothing.
        folder: of the experiment.
        metric: the name of the score of the experiment; ``"score"`` where every cell failed.
        higher_is_better: the direction of the score of the experiment.
    """

    records: list[Record]
    methods: list[str]
    tasks: list[str]
    budgets: list[int | None]
    seeds: list[int]
    baseline: str
    oracle: list[str]
    data: dict[str, Data | None]
    settings: dict[str, Any]
    quick: bool
    folder: Path
    metric: str
    higher_is_better: bool

    @property
    def failed(self) -> list[Record]:
        """The records of the failed cells and of the cells without a result."""
        return [record for record in self.records if record.error is not None]

    def scores(
        self, task: str | None = None, budget: int | None = None, metric: str | None = None
    ) -> dict[str, list[float]]:
        """Return one value for each seed, by method, for :func:`adapt.report.compare`: paired, in the order of `seeds`.

        A seed with a failed cell is left out for all methods, and a method with failed cells alone is left out. A
        warning tells both.

        Args:
            task, budget: may be left out where the grid has a single task or budget.
            metric: a score by name, or a further value of the score of the experiment, such as ``"macro F1"``. None is
                the score of the experiment.

        Raises:
            ValueError: an unknown task, budget or metric; several tasks or budgets and no choice.
        """
        cells = self.cells(task, budget)
        return {method: [_value(record, metric) for record in records.values()] for method, records in cells.items()}

    def cells(self, task: str | None = None, budget: int | None = None) -> dict[str, dict[int, Record]]:
        """Return the records by method and seed that :meth:`scores` reads, paired; the arguments are the same."""
        task, budget = _one("task", task, self.tasks), _one("budget", budget, self.budgets)
        good: dict[str, dict[int, Record]] = {method: {} for method in self.methods}
        for record in self.records:
            if (record.task, record.budget) == (task, budget) and record.error is None:
                good[record.method][record.seed] = record
        lost = [method for method, records in good.items() if not records]
        kept = {method: records for method, records in good.items() if records}
        seeds = [seed for seed in self.seeds if all(seed in records for records in kept.values())]
        without = [str(seed) for seed in self.seeds if seed not in seeds]
        if kept and (lost or without):
            told = [f"the methods {', '.join(lost)}"] * bool(lost) + [f"the seeds {', '.join(without)}"] * bool(without)
            warnings.warn(f"{' and '.join(told)} failed and are left out: see `failed`.", stacklevel=3)
        return {method: {seed: records[seed] for seed in seeds} for method, records in kept.items()}

    @property
    def metrics(self) -> list[str]:
        """The names of the scores of the cells; the first is the score of the experiment."""
        return list(dict.fromkeys(name for record in self.records for name in record.scores))

    def only(self, metric: str) -> "Experiment":
        """Return the experiment with one of several scores as the score of the experiment.

        Raises:
            ValueError: no score of that name.
        """
        if metric not in self.metrics:
            raise ValueError(f"`metric` must be one of {', '.join(map(repr, self.metrics))}, got {metric!r}.")
        records = [replace(r, scores={m: s for m, s in r.scores.items() if m == metric}) for r in self.records]
        higher = next(record.scores[metric].higher_is_better for record in records if record.scores)
        return replace(self, records=records, metric=metric, higher_is_better=higher)

    def delta_m(
        self, metrics: Sequence[str] | None = None, task: str | None = None, budget: int | None = None
    ) -> dict[str, list[float]]:
        """Return the mean relative improvement of several scores over the baseline for each seed, by method.

        The equation is :func:`adapt.report.delta_m`. The values of the baseline are 0.

        Args:
            metrics: names of scores; None takes all scores.
            task, budget: as in :meth:`scores`.

        Raises:
            ValueError: an unknown name; a score of the baseline that is 0.
        """
        parts = [self.only(metric) for metric in (self.metrics if metrics is None else metrics)]
        up, found = [part.higher_is_better for part in parts], [part.scores(task, budget) for part in parts]
        single = list(zip(*(scores[self.baseline] for scores in found), strict=True))
        return {
            method: [
                delta_m(mine, base, higher_is_better=up)
                for *mine, base in zip(*(scores[method] for scores in found), single, strict=True)
            ]
            for method in found[0]
        }

    def choose(self, task: str | None = None, budget: int | None = None, **options: Any) -> Choice:
        """Return the choice of :func:`adapt.select.choose` among the methods, without target labels.

        The candidates are the methods with kept source and target rows, without the methods in `oracle`; the baseline
        is the model without adaptation. Methods without kept rows are named in ``out`` of the choice.

        Args:
            task, budget: as in :meth:`scores`.
            options: of :func:`adapt.select.choose`.

        Raises:
            ValueError: a baseline without kept rows, no other method with kept rows; an `audit` where a part of the
                target rows was kept.
        """
        data = self.data[_one("task", task, self.tasks)]
        return _choosing.choose(self.cells(task, budget), self.baseline, self.oracle, data, options)

    def regret(self, choice: Choice, task: str | None = None, budget: int | None = None) -> "_choosing.Regret":
        """Return what a choice of :meth:`choose` costs on the test rows, against the best method on the test rows."""
        scores = self.scores(task, budget)
        return _choosing.regret(choice, scores, self.baseline, self.oracle, self.higher_is_better)

    def page(self, path: str | Path | None = None) -> Path:
        """Write one page that says what helped, what harmed and at what cost; return the path.

        Args:
            path: ``.html`` for one file without scripts that needs no network, ``.md`` for Markdown without pictures.
                None: ``report.html`` in the folder of the experiment.

        Raises:
            ValueError: another ending.
        """
        return _pages().write_page(self, path)

    @cached_property
    def document(self) -> Document:
        """The page before the page becomes HTML, Markdown or JSON: computed once."""
        return _pages().document(self)

    def table(self) -> str:
        """Return the main table of the page as Markdown."""
        return _pages().table(self)

    def figure(self, path: str | Path | None = None) -> Path:
        """Write the scores with intervals, and the features before and after, as one PNG; return the path.

        Args:
            path: None is ``report.png`` in the folder of the experiment.

        Raises:
            ValueError: no seed of the baseline has a score.
        """
        return _pages().write_figure(self, path)

    def json(self, path: str | Path | None = None) -> Path:
        """Write all facts of the page as JSON; return the path. None is ``report.json`` in the folder."""
        return _pages().write_json(self, path)

    def tensorboard(self, folder: str | Path | None = None) -> Path:
        """Write the page and the mean curve of each method for TensorBoard; return the folder.

        Args:
            folder: None is ``tensorboard`` in the folder of the experiment. A second call replaces the first.
        """
        return _pages().write_tensorboard(self, folder)

    def __repr__(self) -> str:
        axes = f"{len(self.methods)} methods, {len(self.tasks)} tasks, {len(self.seeds)} seeds"
        return f"Experiment({str(self.folder)!r}: {axes}, {len(self.records)} cells, {len(self.failed)} failed)"


def _pages() -> Any:
    """Return the module of the page, which imports matplotlib: importing adapt leaves matplotlib out."""
    from adapt.report.page import _page

    return _page


def experiment(
    folder: str | Path,
    methods: Mapping[str, Callable[[Cell], Any]],
    seeds: int | Sequence[int] = 5,
    baseline: str | None = None,
    *,
    data: Data | Mapping[str, Data] | None = None,
    budgets: Sequence[int] | None = None,
    settings: Any = None,
    oracle: Sequence[str] = (),
    higher_is_better: bool = True,
    quick: bool = False,
    workers: int = 0,
    wait: bool = True,
    progress: bool = True,
) -> Experiment:
    """Run every method with the same seeds, tasks and budgets, and return the records.

    Each cell of the grid is one call of one function with one :class:`Cell`. A finished cell is never run again:
    the same call goes on where a killed call ended, and a trainer with ``log=cell.folder`` goes on with the next step.
    Several processes may make the same call in the same folder at the same time, and share the cells. Before each cell
    the global generators are seeded with the seed of the cell, so all methods of one seed start from the same initial
    weights; afterwards the global random states are the states of before.

    A cell that raises is a record with the error and a file with the traceback; the next call runs the cell again. A
    later call in the same folder may add methods, seeds, tasks and budgets.

    Args:
        folder: of the experiment. Each cell has a folder inside.
        methods: by name, a function from a cell to a number, a :class:`adapt.heads.Score`, a mapping of both by name
            (the first is the score of the experiment), a :class:`adapt.Model`, ``(trainer, head)``, or an
            :class:`Outcome`. A model is evaluated on the test rows of the task.
        seeds: how many, or which.
        baseline: the method of reference for all comparisons; the first method where left out.
        data: the rows of the task, or of several tasks by name. A folder goes on with the same data alone: number of
            rows, labels in memory, and a few rows are compared.
        budgets: numbers of labelled rows, for curves over the number of labels. The function reads ``cell.budget``.
        settings: a mapping or a dataclass of plain values. A folder goes on with the same settings alone.
        oracle: methods with target labels: upper bounds, and no candidates of a choice.
        higher_is_better: of plain numbers. A score knows the direction.
        quick: whether the run only tries whether everything works; the numbers mean nothing.
        workers: number of processes for the cells, each with one thread of torch, or as ``OMP_NUM_THREADS`` says. 0
            runs the cells in this process. Functions and data are sent to the workers, lambdas too. A killed worker is
            replaced; a cell fails after the death of five workers.
        wait: for cells of other processes, and take over a cell of a dead process. ``False`` returns without the
            cells of other processes.
        progress: show a bar.

    Raises:
        ValueError, TypeError: arguments do not fit together, before anything is written; a folder with other
            settings, other data, or a quick run beside a full run.
        KeyboardInterrupt, SystemExit: the folder goes on with the next call.

    >>> import tempfile
    >>> methods = {"plain": lambda cell: 0.5 + cell.seed / 100, "better": lambda cell: 0.6 + cell.seed / 100}
    >>> result = experiment(tempfile.mkdtemp(), methods, seeds=2, progress=False)
    >>> result.scores()
    {'plain': [0.5, 0.51], 'better': [0.6, 0.61]}
    """
    check(TRUTH, higher_is_better=higher_is_better, quick=quick, wait=wait, progress=progress)
    check(FROM_0, workers=workers)
    if runtime.world_size() > 1:
        raise ValueError(f"an experiment runs in plain processes, got {runtime.world_size()} ranks: no torchrun.")
    grid = Grid(
        Path(folder), door.methods_of(methods), door.tasks_of(data), door.budgets_of(budgets), door.seeds_of(seeds),
        door.settings_of(settings), higher_is_better, quick,
    )  # fmt: skip
    baseline = next(iter(grid.methods)) if baseline is None else baseline
    door.check_known("baseline", [baseline], grid.methods)
    door.check_known("oracle", oracle, grid.methods)
    grid.open()
    with _shown(grid, progress) as show:
        if workers:
            share(grid, workers, wait=wait, show=show)
        else:
            grid.work(wait=wait, show=show)
    return _result(grid, baseline, list(oracle))


def _result(grid: Grid, baseline: str, oracle: list[str]) -> Experiment:
    records = [grid.record(place) for place in grid.places]
    score = next((record.score for record in records if record.score is not None), None)
    metric = next((next(iter(record.scores)) for record in records if record.scores), "score")
    return Experiment(
        records, list(grid.methods), list(grid.tasks), list(grid.budgets), list(grid.seeds), baseline, oracle,
        dict(grid.tasks), grid.settings, grid.quick, grid.folder,
        metric, grid.higher_is_better if score is None else score.higher_is_better,
    )  # fmt: skip


@contextmanager
def _shown(grid: Grid, progress: bool) -> Any:
    """Show a bar over the cells."""
    from tqdm import tqdm

    with tqdm(total=len(grid.places), unit="cell", desc=grid.folder.name, disable=not progress) as bar:

        def show(done: int, place: Place | None) -> None:
            bar.n = done
            bar.set_postfix_str("" if place is None else str(place))

        yield show


def _one(option: str, value: Any, known: Sequence[Any]) -> Any:
    if value is None and len(known) == 1:
        return known[0]
    if value not in known:
        raise ValueError(f"`{option}` must be one of {', '.join(map(repr, known))}, got {value!r}.")
    return value


def _value(record: Record, metric: str | None) -> float:
    score = record.scores.get(metric or "", record.score)
    return math.nan if score is None else score.named(None if metric in record.scores else metric)[0]
