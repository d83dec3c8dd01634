"""A table of ranked candidates."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from adapt.heads import Score
from adapt.ranking._cost import Cost

COSTS = {"parameters": "parameters", "flops": "operations per input", "milliseconds": "milliseconds per input"}


@dataclass(frozen=True, eq=False)
class Row:
    """A candidate in the table.

    Attributes:
        scores: by name, each with a 95 % interval; undefined scores are left out.
        first: share of the draws of the target rows in which the candidate is first.
        cost: None where no cost was given.
        refused: by name of the score, why the score is undefined.
    """

    name: str
    scores: dict[str, Score]
    first: float
    cost: Cost | None
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates, the best first; ``print`` shows the table.

    Attributes:
        by: the score of the order. Candidates without this score come last.
        rows: a :class:`Row` for each candidate.
    """

    by: str
    rows: list[Row]

    @property
    def best(self) -> str:
        return self.rows[0].name

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def __str__(self) -> str:
        others = [s for s in dict.fromkeys(s for row in self.rows for s in row.scores) if s != self.by]
        header = ["", self.by, "95 % interval", "first", *others]
        costs = any(row.cost for row in self.rows)
        header += ["parameters", "GFLOP", "ms"] if costs else []
        lines = [header]
        for row in self.rows:
            score = row.scores.get(self.by)
            known = score is not None and math.isfinite(score.low)
            interval = f"{score.low:.3g} to {score.high:.3g}" if score and known else "-"
            cells = [row.name, _number(score), interval, f"{row.first:.0%}" if known else "-"]
            cells += [_number(row.scores.get(name)) for name in others]
            if costs:
                c = row.cost
                cells += (
                    [f"{c.parameters / 1e6:.3g} M", f"{c.flops / 1e9:.3g}", f"{c.milliseconds:.3g}"] if c else ["-"] * 3
                )
            lines.append(cells)
        widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
        text = [
            "  ".join(
                cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([*(line.rstrip() for line in text), *self._refusals()])

    def _refusals(self) -> list[str]:
        """Return each reason once, behind the names of the candidates."""
        names_of: dict[str, list[str]] = {}
        for row in self.rows:
            for why in row.refused.values():
                names_of.setdefault(why, []).append(row.name)
        return [f"{', '.join(dict.fromkeys(names))}: {why}" for why, names in names_of.items()]

    def figure(self, cost: str = "milliseconds") -> Any:
        """Draw score against cost: a point with an interval for each candidate, and a line through the best by cost.

        A candidate is on the line if no cheaper candidate has a better score.

        Args:
            cost: ``"milliseconds"``, ``"flops"`` or ``"parameters"``.

        Returns:
            A matplotlib ``Figure`` without a window; ``report.save(figure, path)`` writes the picture.

        Raises:
            ValueError: another `cost`; no candidate with a cost and a score.
        """
        from matplotlib.figure import Figure

        if cost not in COSTS:
            raise ValueError(f"`cost` must be one of {', '.join(COSTS)}, got {cost!r}.")
        rows = [row for row in self.rows if row.cost and self.by in row.scores]
        if not rows:
            raise ValueError(
                "no candidate has both a cost and a score: rank `Pretrained(features, cost=cost(encoder, batch))`."
            )
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        points = {row.name: (asdict(row.cost)[cost], row.scores[self.by]) for row in rows if row.cost}
        for name, (x, score) in points.items():
            spread = [[score.value - score.low], [score.high - score.value]] if math.isfinite(score.low) else None
            axes.errorbar(x, score.value, yerr=spread, fmt="o", color="#0072b2", elinewidth=1, capsize=3)
            axes.annotate(name, (x, score.value), xytext=(6, 4), textcoords="offset points", fontsize=8)
        axes.step(*_best_by_cost(points), where="post", color="#d55e00", linewidth=1)
        if min(x for x, _ in points.values()) > 0:
            axes.set_xscale("log")
        axes.set(xlabel=COSTS[cost], ylabel=self.by)
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def _best_by_cost(points: Mapping[str, tuple[float, Score]]) -> tuple[list[float], list[float]]:
    xs: list[float] = []
    ys: list[float] = []
    for x, score in sorted(points.values(), key=lambda point: (point[0], -point[1].value)):
        if not ys or score.value > ys[-1]:
            xs.append(x)
            ys.append(score.value)
    return xs, ys


def _number(score: Score | None) -> str:
    return "-" if score is None else f"{score.value:.4g}"
