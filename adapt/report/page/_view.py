"""An experiment as the sections of a page read it: targets, scores, comparisons, units."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from adapt.report.page._document import Table
from adapt.report.page._units import Units, units_of
from adapt.report.paired import Comparison, compare
from adapt.report.records import Record


@dataclass(frozen=True)
class Target:
    """One task at one budget: the seeds of all methods are paired here."""

    task: str
    budget: int | None
    name: str
    scores: Mapping[str, Sequence[float]]
    comparisons: Sequence[Comparison] = field(default=())

    @property
    def seeds(self) -> int:
        return max((len(values) for values in self.scores.values()), default=0)


class View:
    """What all sections share. Nothing is computed twice."""

    def __init__(self, experiment: Any):
        self.experiment = experiment
        self.baseline: str = experiment.baseline
        self.oracle: list[str] = [m for m in experiment.methods if m in experiment.oracle]
        self.candidates: list[str] = [m for m in experiment.methods if m not in self.oracle]
        self.budgets: list[int | None] = list(experiment.budgets)
        self.records: list[Record] = list(experiment.records)
        self.failed: list[Record] = [r for r in self.records if r.error is not None]

    @cached_property
    def targets(self) -> list[Target]:
        """Every task at every budget that has scores of the baseline."""
        found = []
        for task in self.experiment.tasks:
            for budget in self.budgets:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message=".*are left out")  # the page has a section for failures
                    given = self.experiment.scores(task=task, budget=budget)
                scores = {m: list(given.get(m, ())) for m in self.experiment.methods}
                if not scores[self.baseline]:
                    continue
                paired = {m: v for m, v in scores.items() if len(v) == len(scores[self.baseline])}
                rows = compare(paired, self.baseline, higher_is_better=self.experiment.higher_is_better)
                found.append(Target(task, budget, self.named(task, budget), scores, rows))
        return found

    @cached_property
    def units(self) -> Units:
        values = [v for t in self.targets for scores in t.scores.values() for v in scores]
        return units_of(self.experiment.metric, self.experiment.higher_is_better, values)

    @property
    def one(self) -> bool:
        """Whether there is one target, so that no sentence needs the name of the target."""
        return len(self.targets) == 1

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 2, caption: str = "",
        wordy: Sequence[str] = ("verdict",),
    ) -> Table:  # fmt: skip
        """Return a table whose first column is the target. With one target the column is left out."""
        first = 1 if self.one else 0
        return Table(columns[first:], [row[first:] for row in rows], words - first, wordy, caption)

    def named(self, task: str, budget: int | None) -> str:
        """Return the name of a target for readers."""
        rows = "" if budget is None else f"{budget} labelled rows"
        return ", ".join(part for part in (task, rows) if part) or "the target"

    def verdicts(self, target: Target) -> dict[str, list[Comparison]]:
        """Return the comparisons of the methods that see no target label, by verdict."""
        found: dict[str, list[Comparison]] = {"helped": [], "harmed": [], "undecided": []}
        for row in target.comparisons:
            if row.method != self.baseline and row.method not in self.oracle:
                found[verdict(row)].append(row)
        return found

    def kept(self, target: Target, method: str) -> list[Record]:
        """Return the records of a method on a target that ended well, by seed."""
        return sorted(
            (r for r in self.records if (r.method, r.task, r.budget) == (method, target.task, target.budget)
             and r.error is None),
            key=lambda r: r.seed,
        )  # fmt: skip


def verdict(row: Comparison) -> str:
    """Return helped, harmed or undecided."""
    return row.verdict
