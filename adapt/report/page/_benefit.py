"""Higher start, higher slope, higher end: curves over the steps and over the labelled rows."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from adapt.report._benefit import Benefit, benefit
from adapt.report.figures import curves
from adapt.report.interval import Interval
from adapt.report.page._curves import Curves, over_rows, over_steps, tags
from adapt.report.page._document import Block, Heading, Items, Picture, Section, Table
from adapt.report.page._units import NONE, ratio
from adapt.report.page._view import View

MOST_PICTURES = 4  # of one kind
MOST_LINES = 8  # in one picture; more lines hide each other
NO_ROWS = "For curves over labelled rows give `budgets=(10, 20, 40, 80, ...)` to the experiment."
NO_STEPS = (
    "No cell kept a curve of the score over the steps. Let the function of a method return `(trainer, head)`, of a "
    'trainer with `watch={"target": (head, rows)}`.'
)


def benefit_section(view: View) -> Section:
    """Return the section with learning curves, and what the curves are worth."""
    rows = [found for task in view.experiment.tasks if len((found := over_rows(view, task)).lines) > 1]
    steps = [over_steps(view, target, tag) for tag in tags(view, view.units.metric) for target in view.targets]
    steps = [found for found in steps if found.lines]
    worth_rows, worth_steps = _worth(view, rows), _worth(view, [c for c in steps if c.name.endswith("target")])
    blocks: list[Block] = [Heading("Over labelled rows"), *_shown(view, rows, worth_rows, NO_ROWS)]
    blocks += [Heading("Over the steps"), *_shown(view, steps, worth_steps, NO_STEPS)]
    facts = {"labelled rows": _facts(worth_rows), "steps": _facts(worth_steps)}
    return Section("benefit", "Benefit", blocks, facts)


Worth = dict[tuple[str, str], Benefit]  # by target and method


def _worth(view: View, every: Sequence[Curves]) -> Worth:
    found: Worth = {}
    for each in every:
        for method in view.candidates:
            pair = each.pair(method, view.baseline) if method != view.baseline else None
            if pair is not None:
                at, mine, plain = pair
                level = float(plain[:, -1].mean())
                found[each.where, method] = benefit(
                    mine.tolist(), plain.tolist(), at, threshold=level, higher_is_better=view.units.higher_is_better
                )
    return found


def _shown(view: View, every: Sequence[Curves], worth: Worth, without: str) -> list[Block]:
    if not every:
        return [without]
    blocks: list[Block] = []
    if every[0].over == "labelled rows":
        said = [f"{method}{f', {where}' if where else ''}: {b.sentence}" for (where, method), b in worth.items()]
        blocks.append(Items(said[: 2 * MOST_LINES]))
    if worth:
        blocks.append(_table(view, worth, every[0].over))
    return blocks + [_picture(view, each) for each in every[:MOST_PICTURES]]


def _table(view: View, worth: Worth, over: str) -> Table:
    """Return the gains. A positive number speaks for the method, whichever direction is better."""
    places = any(where for where, _ in worth)
    rows = [
        [*([where] if places else []), method, view.units.estimate(b.jumpstart), view.units.estimate(b.end_gap),
         ratio(b.multiplier), _speed(b.speed_up), f"{b.transfer_ratio.value:+.2f}"]
        for (where, method), b in worth.items()
    ]  # fmt: skip
    columns = [
        *(["target"] if places else []), "method", f"jumpstart{view.units.comma_points}",
        f"gain at the end{view.units.comma_points}", f"worth, times the {over}", "speed-up, times", "transfer ratio",
    ]  # fmt: skip
    caption = (
        f"Against {view.baseline}, with 95 % intervals; positive is better. Worth: {view.baseline} needs so many times "
        f"the {over} for equal scores. Speed-up: to the mean end score of {view.baseline}, a level set after the fact. "
        "The transfer ratio depends on where the score has its zero."
    )
    return Table(columns, rows, words=1 + places, caption=caption)


def _speed(found: Interval | None) -> str:
    if found is None or math.isnan(found.value):
        return NONE
    return "level not reached" if found.value == 0 else ratio(found)


def _picture(view: View, each: Curves) -> Picture:
    shown = {m: each.line(m) for m in _most_told(view, each)}
    figure = Figure(figsize=(4.6, 3.4 + 0.12 * len(shown)), layout="constrained")
    name = each.name.replace("/", ", ")
    curves(figure.subplots(), shown, x=each.over, y=name, percent=view.units.percent, logarithmic=each.over != "steps")
    left = len(each.lines) - len(shown)
    more = f" {left} methods are left out of the picture." if left else ""
    name += f", {each.where}" if each.where else ""
    alt = f"{name}: one line for each of {len(shown)} methods, over {each.over}. The table has the numbers."
    return Picture(figure, alt, f"{name}: mean and 95 % band over the seeds.{more}")


def _most_told(view: View, each: Curves) -> list[str]:
    """Return the methods that a crowded picture shows: the baseline, the oracles, then the largest differences."""
    gaps = {r.method: abs(r.difference) for target in view.targets for r in target.comparisons}
    first = [view.baseline, *view.oracle]
    rest = sorted((m for m in each.lines if m not in first), key=lambda m: -gaps.get(m, 0.0))
    kept = [*first, *rest][:MOST_LINES]
    return [m for m in each.lines if m in kept]


def _facts(worth: Worth) -> list[dict[str, Any]]:
    return [
        {"target": where, "method": method, **_plain(b), "sentence": b.sentence} for (where, method), b in worth.items()
    ]


def _plain(found: Benefit) -> dict[str, Any]:
    return {k: Interval(*v)._asdict() if isinstance(v, Interval) else v for k, v in asdict(found).items()}
