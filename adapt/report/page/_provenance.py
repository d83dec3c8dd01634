"""Origin of the numbers: weights, data, settings, versions, and whether a target label was seen."""

from collections.abc import Mapping
from typing import Any

from adapt.report.page._document import Block, Items, Section, Table
from adapt.report.page._units import several
from adapt.report.page._view import View

SEEN, BY = "target labels: seen", "target labels: by"
OTHERS = "differs between cells"


def provenance_section(view: View) -> Section:
    """Return the section: shared facts once, then the facts of single methods."""
    facts = [(r.method, flat(r.provenance)) for r in view.records if r.error is None and r.provenance]
    shared = {"seeds": ", ".join(map(str, view.experiment.seeds)), **flat({"experiment": view.experiment.settings})}
    blocks: list[Block] = [Items(_seen(view, facts))]
    if not facts:
        blocks.append("No cell kept a provenance: cells that return a model or a trainer do.")
    own: dict[str, dict[str, str]] = {}
    for key in dict.fromkeys(key for _, found in facts for key in found):
        by_method = {m: {found.get(key, "-") for method, found in facts if method == m} for m, _ in facts}
        values = set.union(*by_method.values())
        if len(values) == 1:
            shared[key] = values.pop()
        elif all(len(v) == 1 for v in by_method.values()):
            own[key] = {m: next(iter(v)) for m, v in by_method.items()}
        else:
            shared[key] = f"{OTHERS}: {len(values)} values"
    blocks.append(Table(["of all cells", "value"], list(shared.items()), words=2))
    if own:
        rows = [[key, method, value] for key, values in own.items() for method, value in values.items()]
        blocks.append(Table(["of a method", "method", "value"], rows, words=3))
    told = [f"{names}{answer}" for names, answer in _seen(view, facts)]
    kept = {"all cells": shared, "by method": own, "target labels": told}
    return Section("provenance", "Provenance", blocks, kept)


def flat(facts: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested facts as one level of names and words.

    >>> flat({"versions": {"torch": "2.15"}, "seeds": [0, 1]})
    {'versions: torch': '2.15', 'seeds': '0, 1'}
    """
    found: dict[str, str] = {}
    for key, value in facts.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}: ")
        elif isinstance(value, list | tuple | set):
            found[name] = ", ".join(map(str, value)) or "none"
        else:
            found[name] = "none" if value is None else str(value)
    return found


def _seen(view: View, facts: list[tuple[str, dict[str, str]]]) -> list[tuple[str, str]]:
    """Return one sentence per answer, with the methods of the answer."""
    answers: dict[str, list[str]] = {}
    for method in view.experiment.methods:
        told = {f"{found[SEEN]}{f' ({found[BY]})' if found.get(BY, 'none') != 'none' else ''}"
                for m, found in facts if m == method and SEEN in found}  # fmt: skip
        answers.setdefault(" or ".join(sorted(told)) or "not known", []).append(method)
    lines = [
        (several(names, 40), f": was a target label seen in training? {answer}.") for answer, names in answers.items()
    ]
    if view.oracle:
        lines.append((several(view.oracle, 40), " stands as an oracle outside of the verdict."))
    return lines
