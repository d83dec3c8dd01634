"""Cells that failed: rows that say why, never a silent gap."""

from adapt.report.page._document import Block, Section, Table
from adapt.report.page._view import View


def failed_section(view: View) -> Section:
    """Return the section with the cells that ended with an error."""
    if not view.failed:
        return Section("failed", "Failed cells", ["No cell failed."], {"cells": []})
    rows = [[r.method, view.named(r.task, r.budget), str(r.seed), str(r.error)] for r in view.failed]
    blocks: list[Block] = [
        f"{len(rows)} of {len(view.records)} cells failed. A seed that failed for one method is left out for all "
        "methods of the target, so that the comparison stays paired.",
        Table(["method", "target", "seed", "error"], rows, words=4),
    ]
    facts = [{"method": r.method, "task": r.task, "budget": r.budget, "seed": r.seed, "error": r.error}
             for r in view.failed]  # fmt: skip
    return Section("failed", "Failed cells", blocks, {"cells": facts})
