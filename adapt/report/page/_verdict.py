"""The first section: what helped, what harmed, what is undecided, and the main table."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from adapt.report.figures import score_dots
from adapt.report.page._document import Block, Heading, Items, Note, Picture, Section, Table
from adapt.report.page._units import NONE, several
from adapt.report.page._view import Target, View, verdict
from adapt.report.paired import Comparison, as_dicts

MOST_TARGETS = 6  # with a sentence and a picture for each; more targets stand in one table
MOST_METHODS = 12  # of one verdict that a sentence names with numbers


def verdict_section(view: View) -> Section:
    """Return the section with the verdict per target and the main table."""
    blocks: list[Block] = []
    if not view.targets:
        blocks.append(Note("No seed of the baseline has a score: nothing can be compared."))
    for target in view.targets[: MOST_TARGETS if len(view.targets) <= MOST_TARGETS else 0]:
        blocks += [*([] if view.one else [Heading(f"On {target.name}")]), *_sentences(view, target)]
    if len(view.targets) > MOST_TARGETS:
        blocks += [_summary(view), _matrix(view)]
    if view.targets:
        blocks.append(main_table(view))
        blocks += [_dots(view, target) for target in view.targets[:MOST_TARGETS]]
    facts = {
        "baseline": view.baseline,
        "oracle": view.oracle,
        "metric": view.experiment.metric,
        "higher is better": view.experiment.higher_is_better,
        "targets": [_facts(view, target) for target in view.targets],
    }
    return Section("verdict", "Verdict", blocks, facts)


def main_table(view: View) -> Table:
    """Return the table of all methods on all targets."""
    units = view.units
    difference = f"difference to {view.baseline}{units.comma_points}"
    columns = ["target", "method", units.heading, difference, "95 % interval", "seeds", "verdict"]
    rows = [
        [target.name, *_row(view, method, {row.method: row for row in target.comparisons})]
        for target in view.targets
        for method in view.experiment.methods
    ]
    better = "higher" if units.higher_is_better else "lower"
    return view.table(columns, rows, words=2, caption=f"Means over paired seeds; {better} is better.")


def _row(view: View, method: str, rows: Mapping[str, Comparison]) -> list[str]:
    name = f"{method} (oracle)" if method in view.oracle else method
    if method not in rows:
        return [name, NONE, NONE, NONE, "0", "failed"]
    units, row = view.units, rows[method]
    if method == view.baseline:
        return [name, units.value(row.mean), "", "", str(row.seeds), "baseline"]
    interval = units.interval(row.low, row.high)
    return [name, units.value(row.mean), units.change(row.difference), interval, str(row.seeds), _word(view, row)]


def _sentences(view: View, target: Target) -> list[Block]:
    found = view.verdicts(target)
    if not any(found.values()):
        return ["There is no method beside the baseline: nothing can be compared."]
    lines: list[Block] = [f"{_lead(found)}, against the baseline, {view.baseline}."]
    if target.seeds == 1:
        lines.append("One seed has no interval: nothing can be decided. Five seeds are a start.")
    details = [_detail(view, word, row) for word, rows in found.items() for row in rows[:MOST_METHODS]]
    best = [row for row in target.comparisons if row.method in view.oracle]
    if best:
        bounds = several(f"{r.method} {view.units.value(r.mean)}" for r in best)
        details.append(f"For comparison, with labels of the target ({view.units.heading}): {bounds}.")
    return [*lines, Items(details)] if target.seeds > 1 else lines


def _lead(found: dict[str, list[Comparison]]) -> str:
    """Return helped, harmed and undecided methods in one sentence."""
    names = {word: several((row.method for row in rows), MOST_METHODS) for word, rows in found.items()}
    parts = [f"{names['helped']} helped" if names["helped"] else "No method helped"]
    parts.append(f"{names['harmed']} harmed" if names["harmed"] else "no method harmed")
    if found["undecided"]:
        parts.append(f"{names['undecided']} {'is' if len(found['undecided']) == 1 else 'are'} undecided")
    return "; ".join(parts)


def _detail(view: View, word: str, row: Comparison) -> str:
    units = view.units
    change = f"{units.change(row.difference)}{units.points} (95 % interval {units.interval(row.low, row.high)})"
    return f"{row.method} {'is undecided' if word == 'undecided' else word}: {change}."


def _summary(view: View) -> str:
    counts = {"helped": 0, "harmed": 0, "undecided": 0}
    for target in view.targets:
        for word, rows in view.verdicts(target).items():
            counts[word] += len(rows)
    methods = len(view.candidates) - 1
    return (
        f"Over {len(view.targets)} targets and {methods} methods against {view.baseline}: {counts['helped']} "
        f"comparisons helped, {counts['harmed']} harmed, {counts['undecided']} are undecided."
    )


def _matrix(view: View) -> Table:
    """Return the names of helped, harmed and undecided methods per target."""
    rows = [
        [target.name, *(several((r.method for r in found), 40) or NONE for found in view.verdicts(target).values())]
        for target in view.targets
    ]
    return Table(["target", "helped", "harmed", "undecided"], rows, words=4)


def _dots(view: View, target: Target) -> Picture:
    figure = Figure(figsize=(5.4, 1.1 + 0.3 * len(target.scores)), layout="constrained")
    score_dots(figure.subplots(), target.scores, baseline=view.baseline, oracle=view.oracle,
               label=view.units.metric, percent=view.units.percent)  # fmt: skip
    where = "" if view.one else f" on {target.name}"
    return Picture(
        figure,
        f"{view.units.metric}{where} of each method: mean with 95 % interval, and one small dot for each seed. The "
        "table has the numbers.",
        f"Mean and 95 % interval{where}; a small dot is a seed; the dotted line is the baseline. The axis need not "
        "start at 0.",
    )


def _facts(view: View, target: Target) -> dict[str, Any]:
    return {
        "task": target.task,
        "budget": target.budget,
        "scores": {m: list(v) for m, v in target.scores.items()},
        "comparisons": [{**row, "verdict": _word(view, c)} for row, c in
                        zip(as_dicts(target.comparisons), target.comparisons, strict=True)],
    }  # fmt: skip


def _word(view: View, row: Comparison) -> str:
    return "baseline" if row.method == view.baseline else "oracle" if row.method in view.oracle else verdict(row)
