"""The choice without target labels: what would be taken, why, and what the choice costs on the test rows."""

import warnings
from typing import Any

from matplotlib.figure import Figure

from adapt.report.figures import regret_dots
from adapt.report.page._document import Block, Heading, Items, Picture, Section, Table
from adapt.report.page._units import number
from adapt.report.page._view import Target, View

SHOWN = ("shared clusters", "vote z")


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
        if "chosen" in found:
            dots[target.name] = _values(view, target, found["chosen"], found["best"])
    if dots:
        blocks = [_told(view, facts), _picture(view, dots), *blocks]
    return Section("choice", "Choice without target labels", blocks, {"choices": facts})


def _choice(view: View, target: Target) -> tuple[list[str], Table | None, dict[str, Any]]:
    """Return sentences, the scores of the choice and facts of one target."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are left out")  # the page has a section for failures
        try:
            choice = view.experiment.choose(target.task, target.budget, others=False)
        except ValueError as error:
            return [f"There is no choice: {error}"], None, {"none": str(error)}
        plain = {"source-only": view.baseline}  # the name of the baseline in a choice
        lines = [f"Chosen: {plain.get(choice.name, choice.name)}.", *(f"{reason}." for reason in choice.reasons)]
        lines += [f"Ruled out: {name}: {why}." for name, why in choice.out.items()]
        facts = {"name": choice.name, "reasons": choice.reasons, "ruled out": choice.out, "scores": choice.table}
        if choice.chosen:
            cost = view.experiment.regret(choice, target.task, target.budget)
            facts |= cost._asdict()
            regret = f"{view.units.value(cost.regret.value)}{view.units.points}"
            gain = f"{view.units.estimate(cost.gain)}{view.units.points}"
            lines.append(f"On the test rows the best method is {cost.best}. Regret of the choice: {regret}.")
            lines.append(f"Gain of the choice over {view.baseline}: {gain}.")
            lines += ["The choice harmed."] * cost.harmed
    rows = [
        [plain.get(name, name), *(number(scores.get(key)) for key in SHOWN)] for name, scores in choice.table.items()
    ]
    caption = "What the choice reads. No target label was seen."
    return lines, Table(["method", *SHOWN], rows, caption=caption), facts


def _values(view: View, target: Target, chosen: str, best: str) -> dict[str, float]:
    means = {row.method: row.mean for row in target.comparisons}
    return {view.baseline: means[view.baseline], "chosen": means[chosen], "best on the test rows": means[best]}


def _told(view: View, facts: list[dict[str, Any]]) -> str:
    known = [f for f in facts if "chosen" in f]
    regret = sum(f["regret"].value for f in known) / len(known)
    harmed = sum(f["harmed"] for f in known)
    return (
        f"Chosen on {len(known)} of {len(facts)} targets without a target label. Mean regret against the best method "
        f"in hindsight: {view.units.value(regret)}{view.units.points}. Targets with harm: {harmed}."
    )


def _picture(view: View, dots: dict[str, dict[str, float]]) -> Picture:
    figure = Figure(figsize=(4.8, 1.4 + 0.34 * len(dots)), layout="constrained")
    regret_dots(figure.subplots(), dots, label=view.units.metric, percent=view.units.percent)
    return Picture(
        figure,
        "For each target the score of the baseline, of the chosen method, and of the best method in hindsight.",
        "The line between the chosen and the best method is the regret. The axis need not start at 0.",
    )
