"""Whom the transfer harmed: the target, groups, classes, and the trust in the probabilities."""

from adapt.report.page._bias import of_classes, of_groups
from adapt.report.page._document import Block, Heading, Items, Section
from adapt.report.page._pairs import broken, on, pairs
from adapt.report.page._trust import of_trust
from adapt.report.page._units import several
from adapt.report.page._view import View

NO_ROWS = (
    "Groups, classes and calibration need the outputs and labels of the test rows, and no cell kept both. Let the "
    "function of a method return a model with a classifier, and give the rows: `data=report.Data(test=...)`."
)


def harm_section(view: View) -> Section:
    """Return the section that names harmed targets, groups and classes, and models whose confidence is wrong."""
    found = pairs(view)
    named = [
        (row.method, f" harmed{on(view, target)}: {view.units.change(row.difference)}{view.units.points}.")
        for target in view.targets
        for row in view.verdicts(target)["harmed"]
    ]
    named += broken(view)
    if not found:
        return Section("harm", "Harm and bias", [*_first(named), NO_ROWS], {"named": _plain(named)})
    parts = {
        "Groups": of_groups(view, found),
        "Classes": of_classes(view, found),
        "Calibration": of_trust(view, found),
    }
    named += [line for part in parts.values() for line in part.named]
    seeds = sorted({seed for pair in found for seed in pair.seeds})
    told = f"Below, the models of all seeds with the same test rows are looked at: {several(map(str, seeds))}."
    blocks: list[Block] = [*_first(named), told if len(seeds) > 1 else f"Below, models of one seed: {seeds[0]}."]
    for name, part in parts.items():
        blocks += [Heading(name), *part.blocks]
    facts = {"named": _plain(named), **{name.lower(): part.facts for name, part in parts.items()}}
    return Section("harm", "Harm and bias", blocks, facts)


def _plain(named: list[tuple[str, str]]) -> list[str]:
    return [subject + rest for subject, rest in named]


def _first(named: list[tuple[str, str]]) -> list[Block]:
    return [Items(named)] if named else ["No harm was found in what was measured."]
