"""The choice without target labels: the chosen method, the reasons, and the cost of the choice on the test rows."""

import warnings
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from adapt.report._choosing import Regret
from adapt.report.figures import regret_dots
from adapt.report.page._document import Block, Heading, Items, Note, Picture, Section, Table
from adapt.report.page._units import number
from adapt.report.page._view import Target, View

SHOWN = ("shared clusters", "vote z", "label distance", "reverse")  # of classifiers, and of regressors
HINDSIGHT = (
    'The choice, its reasons and its scores see no target label. What follows "in hindsight" reads the labels of the '
    "test rows, and nobody without these labels knows regret, gain and harm."
)


def choice_section(view: View) -> Section:
    """Return the section with the choice on each target, the reasons, the regret and the harm."""
    blocks: list[Block] = []
    facts: list[dict[str, Any]] = []
    dots: dict[str, dict[str, float]] = {}
    for target in view.targets:
        lines, table, found = _choice(view, target)
        facts.append({"task": target.task, "budget": target.budget, **found})
        blocks += [*([] if view.one else [Heading(f"On {target.name}")]), Items(lines)]
        blocks += [table] if table and len(view.targets) <= 4 else []
        if "in hindsight" in found:
            dots[target.name] = _values(view, target, found["in hindsight"])
    if dots:
        blocks = [_told(view, facts), Note(HINDSIGHT), _picture(view, dots), *blocks]
    return Section("choice", "Choice without target labels", blocks, {"choices": facts})


def _choice(view: View, target: Target) -> tuple[list[str], Table | None, dict[str, Any]]:
    """Return sentences, the scores of the choice and facts of a target."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are left out")  # the page has a section for failures
        try:
            choice = view.experiment.choose(target.task, target.budget, others=False)
        except ValueError as error:
            return [f"There is no choice: {error}"], None, {"none": str(error)}
        plain = {"source-only": view.baseline}  # the name of the baseline in a choice
        lines = [f"Chosen: {plain.get(choice.name, choice.name)}.", *(f"{reason}." for reason in choice.reasons)]
        lines += [f"Here source-only is the baseline, {view.baseline}."] * (view.baseline not in plain)
        lines += [f"Ruled out: {name}: {why}." for name, why in choice.out.items()]
        facts = {"name": choice.name, "reasons": choice.reasons, "ruled out": choice.out, "scores": choice.table}
        if choice.chosen:
            cost = view.experiment.regret(choice, target.task, target.budget)
            lines += _in_hindsight(view, cost, choice.out)
            facts["in hindsight"] = cost._asdict()
    shown = [key for key in SHOWN if any(key in scores for scores in choice.table.values())]
    rows = [
        [plain.get(name, name), *(number(scores.get(key)) for key in shown)] for name, scores in choice.table.items()
    ]
    caption = "What the choice reads. No target label was seen."
    return lines, Table(["method", *shown], rows, caption=caption), facts


def _in_hindsight(view: View, cost: Regret, out: Mapping[str, str]) -> list[str]:
    """Return sentences about regret, gain and harm of a choice, by the labels of the test rows."""
    points = view.units.points
    beside = ", which was ruled out" if cost.best in out else ""
    return [
        f"In hindsight the best method on the test rows is {cost.best}{beside}. "
        f"Regret of the choice: {view.units.value(cost.regret.value)}{points}.",
        f"In hindsight the gain of the choice over {view.baseline} is {view.units.estimate(cost.gain)}{points}.",
        *[f"In hindsight the choice harmed: its mean is worse than the mean of {view.baseline}."] * cost.harmed,
    ]


def _values(view: View, target: Target, cost: Mapping[str, Any]) -> dict[str, float]:
    means = {row.method: row.mean for row in target.comparisons}
    return {
        view.baseline: means[view.baseline],
        "chosen": means[cost["chosen"]],
        "best in hindsight": means[cost["best"]],
    }


def _told(view: View, facts: list[dict[str, Any]]) -> str:
    known = [f["in hindsight"] for f in facts if "in hindsight" in f]
    regret = sum(f["regret"].value for f in known) / len(known)
    harmed = sum(f["harmed"] for f in known)
    return (
        f"Chosen on {len(known)} of {len(facts)} targets without a target label. In hindsight the mean regret against "
        f"the best method is {view.units.value(regret)}{view.units.points}, and the choice is worse than "
        f"{view.baseline} on {harmed} of {len(known)} targets."
    )


def _picture(view: View, dots: dict[str, dict[str, float]]) -> Picture:
    figure = Figure(figsize=(4.8, 1.4 + 0.34 * len(dots)), layout="constrained")
    regret_dots(figure.subplots(), dots, label=view.units.metric, percent=view.units.percent)
    return Picture(
        figure,
        "For each target the score of the baseline, of the chosen method, and of the best method in hindsight.",
        "The line between the chosen and the best method is the regret. The axis need not start at 0.",
    )
