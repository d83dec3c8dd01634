"""Targets, scores, comparisons and units of an experiment, for the sections of a page."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from adapt.report._experiment import Experiment
from adapt.report.page._document import Table
from adapt.report.page._units import Units, units_of
from adapt.report.paired import Comparison, compare
from adapt.report.records import Record


@dataclass(frozen=True)
class Target:
    """One task at one budget. The seeds of all methods are paired within a target."""

    task: str
    budget: int | None
    name: str
    scores: Mapping[str, Sequence[float]]
    comparisons: Sequence[Comparison] = field(default=())

    @property
    def seeds(self) -> int:
        return max((len(values) for values in self.scores.values()), default=0)


class View:
    """The shared part of all sections: targets, comparisons and units are computed once."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.baseline: str = experiment.baseline
        self.oracle: list[str] = [m for m in experiment.methods if m in experiment.oracle]
        self.candidates: list[str] = [m for m in experiment.methods if m not in self.oracle]
        self.budgets: list[int | None] = list(experiment.budgets)
        self.records: list[Record] = list(experiment.records)
        self.failed: list[Record] = [r for r in self.records if r.error is not None]

    @cached_property
    def targets(self) -> list[Target]:
        """Every task at every budget where the baseline has scores."""
        given = {}
        for task in self.experiment.tasks:
            for budget in self.budgets:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message=".*are left out")  # the page has a section for failures
                    scores = self.experiment.scores(task=task, budget=budget)
                if scores.get(self.baseline):
                    given[task, budget] = scores
        shown = {self.named(*place): {m: v for m, v in scores.items() if m not in self.oracle}
                 for place, scores in given.items()}  # fmt: skip
        better = self.experiment.higher_is_better
        rows = compare(shown, self.baseline, higher_is_better=better) if shown else []
        return [
            Target(*place, name := self.named(*place), {m: list(scores.get(m, ())) for m in self.experiment.methods},
                   [row for row in rows if row.task == name] + self._oracles(scores))
            for place, scores in given.items()
        ]  # fmt: skip

    def _oracles(self, scores: Mapping[str, Sequence[float]]) -> list[Comparison]:
        """Return the comparisons of the oracles, outside of the correction for many comparisons."""
        pair = {m: v for m, v in scores.items() if m in (self.baseline, *self.oracle)}
        rows = compare(pair, self.baseline, higher_is_better=self.experiment.higher_is_better)
        return [row for row in rows if row.method in self.oracle]

    @cached_property
    def ends(self) -> list[Target]:
        """The targets at the largest budget, for the sections about rows."""
        return [t for t in self.targets if t.budget in (None, max(b or 0 for b in self.budgets))]

    @cached_property
    def units(self) -> Units:
        values = [v for t in self.targets for scores in t.scores.values() for v in scores]
        return units_of(self.experiment.metric, self.experiment.higher_is_better, values)

    @property
    def one(self) -> bool:
        """Whether there is one target: then no sentence needs the name of the target."""
        return len(self.targets) == 1

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 2, caption: str = "",
        wordy: Sequence[str] = ("verdict",),
    ) -> Table:  # fmt: skip
        """Return a table with the target as first column. With one target the column is left out."""
        first = 1 if self.one else 0
        return Table(columns[first:], [row[first:] for row in rows], words - first, wordy, caption)

    def named(self, task: str, budget: int | None) -> str:
        """Return the name of a target for readers."""
        rows = "" if budget is None else f"{budget} labelled rows"
        return ", ".join(part for part in (task, rows) if part) or "the target"

    def shown(self, method: str) -> str:
        """Return the name of a method for a table: an oracle is marked."""
        return f"{method} (oracle)" if method in self.oracle else method

    def verdicts(self, target: Target) -> dict[str, list[Comparison]]:
        """Return the comparisons of the methods without target labels, by verdict."""
        found: dict[str, list[Comparison]] = {"helped": [], "harmed": [], "undecided": []}
        for row in target.comparisons:
            if row.method != self.baseline and row.method not in self.oracle:
                found[row.verdict].append(row)
        return found

    def by_mean(self, target: Target) -> list[str]:
        """Return the baseline, then the methods from the best mean, then the oracles."""
        rows = [row for found in self.verdicts(target).values() for row in found]
        sign = -1 if self.experiment.higher_is_better else 1
        return [self.baseline, *(row.method for row in sorted(rows, key=lambda row: sign * row.mean)), *self.oracle]

    def best(self, target: Target) -> str | None:
        """Return the method with the best mean on a target, beside the baseline and the oracles."""
        names = self.by_mean(target)[1:]
        return names[0] if names and names[0] not in self.oracle else None

    def kept(self, target: Target, method: str) -> list[Record]:
        """Return the records without an error of a method on a target, sorted by seed."""
        return sorted(
            (r for r in self.records if (r.method, r.task, r.budget) == (method, target.task, target.budget)
             and r.error is None),
            key=lambda r: r.seed,
        )  # fmt: skip

    def pairs(self, target: Target, method: str) -> list[tuple[Record, Record]]:
        """Return the records of the baseline and of a method for each seed of both."""
        before, after = ({r.seed: r for r in self.kept(target, m)} for m in (self.baseline, method))
        return [(before[seed], after[seed]) for seed in sorted(before.keys() & after.keys())]
