"""Whether the training was long enough, and whether a discriminator did its work."""

import math

from matplotlib.figure import Figure

from adapt.report._trained_enough import TrainedEnough, trained_enough
from adapt.report.figures import curves
from adapt.report.page._curves import over_steps
from adapt.report.page._document import Block, Items, Picture, Section
from adapt.report.page._pairs import on
from adapt.report.page._units import NONE, several
from adapt.report.page._view import Target, View

LOSS = "loss/total"
MOST_LINES = 8
LONGER = "Train longer before the verdict is believed."
SETTLED = "No method had a loss that was still falling in most of the runs."
UNKNOWN = "Nobody can tell whether the runs were long enough: the table has the reason."
NO_LOSS = (
    "No cell kept a loss over the steps. Let the function of a method return `(trainer, head)`, of a trainer with "
    "`log=cell.folder`."
)


def enough_section(view: View) -> Section:
    """Return the section: for each method and target, in how many runs the loss was still falling at the end."""
    judged = {(target.name, m): found for target in view.ends for m in view.experiment.methods
              if (found := _judged(view, target, m))}  # fmt: skip
    if not judged:
        return Section("enough", "Trained enough?", [NO_LOSS], {"runs": []})
    said: list[str | tuple[str, str]] = [
        (m, f"{'' if view.one else f', {where}'}: the loss was still falling at the end of most runs. {LONGER}")
        for (where, m), found in judged.items()
        if 2 * sum(f.falling is True for f in found) > len(found)
    ]
    rows = [[where, view.shown(m), *_row(found)] for (where, m), found in judged.items()]
    columns = ["target", "method", "runs", "still falling", "settled", "cannot tell", "slope", "the first run"]
    caption = "Slope: change of the loss over the last third of the steps, relative to the fall so far; a mean."
    table = view.table(columns, rows, wordy=("the first run",), caption=caption)
    told = any(run.falling is not None for found in judged.values() for run in found)
    first: list[Block] = [Items(said)] if said else [SETTLED if told else UNKNOWN]
    facts = [{"target": where, "method": m, "runs": found} for (where, m), found in judged.items()]
    return Section("enough", "Trained enough?", [*first, table, *_picture(view)], {"runs": facts})


def _judged(view: View, target: Target, method: str) -> list[TrainedEnough]:
    kept = [r.curves for r in view.kept(target, method) if any(tag.startswith("loss/") for tag in r.curves)]
    return [trained_enough(curves) for curves in kept]


def _row(found: list[TrainedEnough]) -> list[str]:
    counts = [str(sum(f.falling is answer for f in found)) for answer in (True, False, None)]
    slopes = [f.slope.value for f in found if math.isfinite(f.slope.value)]
    slope = f"{100 * sum(slopes) / len(slopes):+.0f} %" if slopes else NONE
    return [str(len(found)), *counts, slope, found[0].sentence]


def _picture(view: View) -> list[Block]:
    """Return the total loss over the steps on the first target."""
    target = view.ends[0]
    found = over_steps(view, target, LOSS)
    shown = {m: found.line(m) for m in view.by_mean(target)[:MOST_LINES] if m in found.lines}
    shown = {m: line for m, line in shown.items() if len(line[0]) > 1}
    if not shown:
        return []
    figure = Figure(figsize=(4.6, 3.4 + 0.12 * len(shown)), layout="constrained")
    curves(figure.subplots(), shown, x="steps", y=LOSS)
    alt = f"Total loss over the steps{on(view, target)}: {several(shown)}."
    caption = (
        f"Total loss{on(view, target)}: mean and 95 % band over the seeds. Terms of other methods are in other units: "
        "compare the shape of a line, not the height."
    )
    return [Picture(figure, alt, caption)]
