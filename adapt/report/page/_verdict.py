"""The first section: helped, harmed and undecided methods in sentences, and the main table."""

from collections.abc import Mapping
from typing import Any

import numpy
from matplotlib.figure import Figure

from adapt.report._critical_difference import critical_difference
from adapt.report.figures import rank_diagram, score_dots
from adapt.report.page._document import Block, Heading, Items, Note, Picture, Section, Table
from adapt.report.page._units import NONE, chance, several
from adapt.report.page._view import Target, View
from adapt.report.paired import Comparison, as_dicts

MOST_TARGETS = 6  # with a sentence and a picture for each; more targets stand in one table
FEWEST_RANKED = 5  # targets of a critical-difference diagram; fewer ranks say nothing
MOST_METHODS = 12  # of one verdict that a sentence names with numbers

HOLM = "The verdict reads p of the paired t test, after Holm's correction over all rows without the oracles."


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
        blocks += [_dots(view, target) for target in view.targets[:MOST_TARGETS]] + _ranks(view)
    facts = {
        "baseline": view.baseline,
        "oracle": view.oracle,
        "metric": view.experiment.metric,
        "higher is better": view.experiment.higher_is_better,
        "targets": [facts_of(view, target) for target in view.targets],
    }
    return Section("verdict", "Verdict", blocks, facts)


def main_table(view: View) -> Table:
    """Return the table of all methods on all targets."""
    units = view.units
    difference = f"difference to {view.baseline}{units.comma_points}"
    columns = ["target", "method", units.heading, difference, "95 % interval", "p (Holm)", "seeds", "verdict"]
    rows = [
        [target.name, *_row(view, method, {row.method: row for row in target.comparisons})]
        for target in view.targets
        for method in view.experiment.methods
    ]
    better = "higher" if units.higher_is_better else "lower"
    return view.table(columns, rows, words=2, caption=f"Means over paired seeds; {better} is better. {HOLM}")


def _row(view: View, method: str, rows: Mapping[str, Comparison]) -> list[str]:
    name = view.shown(method)
    if method not in rows:
        return [name, NONE, NONE, NONE, NONE, "0", "failed"]
    units, row = view.units, rows[method]
    if method == view.baseline:
        return [name, units.value(row.mean), "", "", "", str(row.seeds), "baseline"]
    interval = units.interval(row.low, row.high)
    p = NONE if row.seeds == 1 or method in view.oracle else chance(row.adjusted)
    return [name, units.value(row.mean), units.change(row.difference), interval, p, str(row.seeds), _word(view, row)]


def _sentences(view: View, target: Target) -> list[Block]:
    found = view.verdicts(target)
    if not any(found.values()):
        return ["There is no method beside the baseline: nothing can be compared."]
    lines: list[Block] = [_lead(view, found)]
    if target.seeds == 1:
        return [*lines, "One seed has no interval: nothing can be decided. Five seeds are a start."]
    details = [(row.method, _detail(view, row)) for rows in found.values() for row in rows[:MOST_METHODS]]
    details += [(row.method, f" saw labels of the target, and is no method to choose: {view.units.value(row.mean)}"
                             f"{' %' * view.units.percent}.")
                for row in target.comparisons if row.method in view.oracle]  # fmt: skip
    return [*lines, Items(details)]


def _lead(view: View, found: dict[str, list[Comparison]]) -> str:
    """Return helped, harmed and undecided methods in short sentences."""
    names = {word: several((row.method for row in rows), MOST_METHODS) or "none" for word, rows in found.items()}
    said = " ".join(f"{word.capitalize()}: {given}." for word, given in names.items())
    return f"Against the baseline, {view.baseline}: {said[0].lower()}{said[1:]}"


def _detail(view: View, row: Comparison) -> str:
    """Return the rest of a sentence about a method."""
    units = view.units
    change = f"{units.change(row.difference)}{units.points} (95 % interval {units.interval(row.low, row.high)})"
    if row.verdict != "undecided":
        return f" {row.verdict}: {change}."
    more = f" {row.seeds_needed:,} seeds would decide a difference of this size." if row.seeds_needed else ""
    return f" is undecided: {change}.{more}{_power(view, row)}"


def _power(view: View, row: Comparison) -> str:
    """Return the smallest difference within reach of the seeds, in a sentence."""
    if row.detectable is None:
        return ""
    if view.units.percent and row.detectable >= 1:
        return f" {row.seeds} seeds are too few to find any difference."
    return f" {row.seeds} seeds find a difference of {view.units.value(row.detectable)}{view.units.points}."


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
    figure = Figure(figsize=(4.6, 1.1 + 0.3 * len(target.scores)), layout="constrained")
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


def _ranks(view: View) -> list[Block]:
    """Return the critical-difference diagram of the methods with a score on every target; with few targets, nothing."""
    means = {m: [float(numpy.mean(t.scores[m])) for t in view.targets if t.scores[m]] for m in view.candidates}
    whole = {m: values for m, values in means.items() if len(values) == len(view.targets)}
    if len(view.targets) < FEWEST_RANKED or len(whole) < 3:
        return []
    found = critical_difference(whole, higher_is_better=view.units.higher_is_better)
    figure = Figure(figsize=(4.8, 1.3 + 0.32 * len(whole)), layout="constrained")
    rank_diagram(figure.subplots(), found)
    order = several((f"{m} {rank:.2g}" for m, rank in found.ranks.items()), 40)
    said = f"Friedman's test that all methods are alike: p = {chance(found.friedman_p)}."
    caption = f"Mean ranks over the targets. A bar joins methods that are not told apart (Nemenyi). {said}"
    return [Picture(figure, f"Mean ranks over {found.tasks} targets: {order}.", caption)]


def facts_of(view: View, target: Target) -> dict[str, Any]:
    """Return scores and comparisons of one target."""
    return {
        "task": target.task,
        "budget": target.budget,
        "scores": {m: list(v) for m, v in target.scores.items()},
        "comparisons": [{**row, "verdict": _word(view, c)} for row, c in
                        zip(as_dicts(target.comparisons), target.comparisons, strict=True)],
    }  # fmt: skip


def _word(view: View, row: Comparison) -> str:
    return "baseline" if row.method == view.baseline else "oracle" if row.method in view.oracle else row.verdict
